"""Tests of the notebooks in examples/notebooks: each runs from top to bottom in a new kernel, and no cell fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.notebooks import execute, notebook_of
from tests.support.paths import DOCS, ROOT

NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))


def printed(notebook: Any) -> str:
    return "".join(
        output.get("text", "") or output.get("data", {}).get("text/plain", "")
        for cell in notebook.cells
        for output in cell.get("outputs", ())
    )


@pytest.mark.timeout(120)
@pytest.mark.filterwarnings("ignore::DeprecationWarning:zmq", "ignore::DeprecationWarning:jupyter_client")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(path: Path) -> None:
    notebook = notebook_of(path.read_text())
    execute(notebook, Path.cwd())
    if path.stem == "group":
        said = printed(notebook)
        for line in (
            "tip     JOIN alice carol",
            "tip     KICK alice carol",
            "notice  KICKED crew",
            "message alice just us again",
        ):
            assert line in said, said
        assert "NotAMember" in said
    if path.stem == "gallery":
        shown = {name: html_of(cell) for name, cell in drawn(notebook).items()}
        assert {name for name, html in shown.items() if not html} == {"error"}
        assert all(part in shown["chat"] for part in ("<img src=", "<audio controls", "<details>", "t-quote", "&lt;b&gt;"))
        assert "gap: seqs" in shown["gap"]
        assert "t-bar" in shown["coverage"]
        assert "</progress>" in shown["progress"]
        (error,) = drawn(notebook)["error"].outputs
        assert error.ename == "MessageTooLong"


def drawn(notebook: Any) -> dict[str, Any]:
    """Return the cells of which tools/screenshots.py makes pictures, by their names."""
    cells = [cell for cell in notebook.cells if "screenshot" in cell.metadata.get("tags", ())]
    return {cell.metadata.tags[-1]: cell for cell in cells}


def html_of(cell: Any) -> str:
    return "".join(output.get("data", {}).get("text/html", "") for output in cell.outputs)


def test_the_docs_show_a_picture_of_each_drawn_cell_for_light_and_dark_pages() -> None:
    page = (DOCS / "how-to" / "use_notebooks.md").read_text()
    names = drawn(notebook_of((ROOT / "examples" / "notebooks" / "gallery.ipynb").read_text()))
    wanted = {f"notebook_{name}_{theme}.png" for name in names for theme in ("light", "dark")}
    assert {path.name for path in (DOCS / "images").glob("notebook_*.png")} == wanted
    for picture in wanted:
        assert f"(../images/{picture}#only-" in page


def test_no_notebook_is_committed_with_its_output() -> None:
    assert NOTEBOOKS
    for path in NOTEBOOKS:
        assert not printed(notebook_of(path.read_text()))

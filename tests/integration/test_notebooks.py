"""Tests of the notebooks in examples/notebooks: each runs from top to bottom in a new kernel, and no cell fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support.paths import ROOT

NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))


def notebook_of(path: Path) -> Any:
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]


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
    notebook = notebook_of(path)
    NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
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


def test_no_notebook_is_committed_with_its_output() -> None:
    assert NOTEBOOKS
    for path in NOTEBOOKS:
        assert not printed(notebook_of(path))

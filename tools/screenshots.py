"""Draw docs/images/notebook_*.png: run the gallery notebook, and photograph its outputs in headless Chromium.

    .venv/bin/python tools/screenshots.py [--to docs/images]

Cells with the tag `screenshot` are drawn, each in a light and a dark notebook, under the name of their second tag. Chromium and
fonts come from the system: apt-get install chromium fonts-noto-cjk fonts-noto-color-emoji.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from PIL import Image, ImageChops

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "examples" / "notebooks" / "gallery.ipynb"
WIDTH, HEIGHT = 1000, 1400
MARGIN = 12
LIMIT_S = 120
STYLE = """<style>
.jp-Cell-inputWrapper{display:none!important} body{padding:0!important} .timim{max-height:none!important}
</style>"""


def executed() -> Any:
    """Return the notebook with the outputs of a run."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    NotebookClient(notebook, timeout=LIMIT_S, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    return notebook


def tagged(notebook: Any) -> dict[str, Any]:
    """Return the cells to draw, by their names."""
    found = {}
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if "screenshot" in tags:
            found[tags[-1]] = cell
    return found


def page_of(cell: Any, theme: str) -> str:
    """Return a cell as a page, as JupyterLab shows it."""
    book = nbformat.v4.new_notebook(cells=[cell])  # type: ignore[no-untyped-call]
    exporter: Any = HTMLExporter(template_name="lab", theme=theme, embed_images=True)  # type: ignore[no-untyped-call]
    page, _ = exporter.from_notebook_node(book)
    return str(page).replace("</head>", f"{STYLE}</head>", 1).replace("<details>", "<details open>")


def photograph(page: str, target: Path, chromium: str) -> None:
    """Write a picture of a page, without the empty space below and beside its content."""
    with tempfile.TemporaryDirectory() as folder:
        source, taken = Path(folder) / "page.html", Path(folder) / "page.png"
        source.write_text(page, encoding="utf-8")
        options = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={folder}/profile")
        offline = ("--host-resolver-rules=MAP * ~NOTFOUND",)  # the template names scripts of other hosts
        sized = (f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={taken}")
        command = [chromium, *options, *offline, *sized, source.as_uri()]
        done = subprocess.run(command, check=False, timeout=LIMIT_S, capture_output=True, text=True)
        if not taken.exists():
            sys.exit(f"screenshots: {chromium} made no picture: {done.stderr[-500:]}")
        with Image.open(taken) as whole:
            picture = whole.convert("RGB")
    empty = Image.new("RGB", picture.size, picture.getpixel((WIDTH - 1, HEIGHT - 1)))
    box = ImageChops.difference(picture, empty).getbbox()
    if box is None:
        sys.exit(f"screenshots: the picture for {target.name} is empty")
    left, top, right, bottom = box
    cut = (max(left - MARGIN, 0), max(top - MARGIN, 0), min(right + MARGIN, WIDTH), min(bottom + MARGIN, HEIGHT))
    picture.crop(cut).quantize(256).save(target, optimize=True)


def main() -> None:
    """Draw each tagged cell in a light and a dark notebook."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, default=ROOT / "docs" / "images")
    to: Path = parser.parse_args().to
    chromium = shutil.which(os.environ.get("CHROMIUM", "chromium"))
    if chromium is None:
        sys.exit("screenshots: there is no chromium; apt-get install chromium fonts-noto-cjk fonts-noto-color-emoji")
    to.mkdir(parents=True, exist_ok=True)
    for name, cell in tagged(executed()).items():
        for theme in ("light", "dark"):
            photograph(page_of(cell, theme), to / f"notebook_{name}_{theme}.png", chromium)
            print(f"notebook_{name}_{theme}.png")


if __name__ == "__main__":
    main()

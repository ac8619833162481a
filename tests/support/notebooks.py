"""Notebooks that a test runs from top to bottom.

The packages are imported by the functions, because nbformat needs seconds to import: each worker of a test run collects all
files, and only one worker runs these tests.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


def notebook_of(text: str) -> Any:
    """Return the notebook that the text of a file describes."""
    import nbformat

    return nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]


def execute(notebook: Any, folder: Path) -> None:
    """Run all cells in a new kernel, which starts in `folder`. Raises the error of a cell that fails."""
    from nbclient import NotebookClient

    NotebookClient(notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()

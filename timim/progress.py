"""A progress bar for `progress=`: a line in a terminal, an element in a notebook, and nothing elsewhere."""

from __future__ import annotations

import sys
from typing import Any, Protocol, Self

__all__ = ["ProgressBar"]


class _Display(Protocol):
    def update(self, done: int, total: int) -> None: ...

    def close(self) -> None: ...


class ProgressBar:
    """Progress bar for one transfer, or for several transfers in sequence.

    `with timim.ProgressBar("cat.jpg") as bar: await bob.send(FileElem(path="cat.jpg"), progress=bar)`. Pass the bar to
    `read()` and `download()` in the same way.
    """

    def __init__(self, label: str = "") -> None:
        self._label = label
        self._display: _Display | None = None

    def __enter__(self) -> Self:
        self._display = _Notebook(self._label) if _in_notebook() else _terminal(self._label)
        return self

    def __exit__(self, *exc: object) -> None:
        display, self._display = self._display, None
        if display is not None:
            display.close()

    def __call__(self, done: int, total: int) -> None:
        """Show the bytes done and the bytes in all; transfers call this."""
        if self._display is not None:
            self._display.update(done, total)


def _terminal(label: str) -> _Display:
    try:
        return _Terminal(label)
    except ModuleNotFoundError:
        return _PlainTerminal(label)


class _Terminal:
    """Line on standard error, because standard output belongs to the program."""

    def __init__(self, label: str) -> None:
        from rich.console import Console
        from rich.markup import escape
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

        console = Console(stderr=True)
        columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal)
        self._task = self._bar.add_task(escape(label), total=None)
        self._bar.start()

    def update(self, done: int, total: int) -> None:
        self._bar.update(self._task, completed=done, total=total)

    def close(self) -> None:
        self._bar.stop()


class _PlainTerminal:
    """Line of text on standard error, for an installation without the extra `cli`, which has rich."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._percent = -1
        self._shown = sys.stderr.isatty()

    def update(self, done: int, total: int) -> None:
        percent = 100 * done // total if total else 0
        if self._shown and percent != self._percent:
            self._percent = percent
            sys.stderr.write(f"\r{self._label} {percent:3} %")
            sys.stderr.flush()

    def close(self) -> None:
        if self._percent >= 0:
            sys.stderr.write("\n")


class _Notebook:
    """Element of a notebook, updated at each percent."""

    def __init__(self, label: str) -> None:
        from html import escape  # a late import, because it loads a table of all HTML names

        from IPython.display import display

        self._label = escape(label)
        self._percent = -1
        self._handle: Any = display({"text/html": self._html(0, 0), "text/plain": label}, raw=True, display_id=True)  # type: ignore[no-untyped-call]

    def update(self, done: int, total: int) -> None:
        percent = 100 * done // total if total else 0
        if percent != self._percent:
            self._percent = percent
            text = f"{self._label} {percent} %"
            self._handle.update({"text/html": self._html(done, total), "text/plain": text}, raw=True)

    def close(self) -> None:
        return

    def _html(self, done: int, total: int) -> str:
        size = f"{done / 1e6:,.1f} of {total / 1e6:,.1f} MB" if total else "…"
        return f"{self._label} <progress value='{done}' max='{total or 1}'></progress> {size}"


def _in_notebook() -> bool:
    """Return True in a Jupyter kernel, without importing IPython."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return type(shell).__name__ == "ZMQInteractiveShell"

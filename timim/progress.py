"""A progress bar for `progress=`: a line in a terminal, an element in a notebook, and nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any, Protocol, Self, TypeVar

from .util.displayed import Displayed
from .util.interactive import in_notebook

__all__ = ["ProgressBar"]

T = TypeVar("T")


class _Display(Protocol):
    def update(self, done: int, total: int) -> None: ...

    def close(self) -> None: ...


class ProgressBar(Displayed):
    """Progress bar for one transfer, or for several transfers in sequence.

    `with timim.ProgressBar("cat.jpg") as bar: await bob.send(FileElem(path="cat.jpg"), progress=bar)`. Pass the bar to
    `read()` and `download()` in the same way, and with `unit="messages"` to `fetch_missing()` and `to_dataframe()`.

    Args:
        label: Text before the bar.
        unit: "bytes" shows sizes; another word is shown after the numbers.
    """

    def __init__(self, label: str = "", *, unit: str = "bytes") -> None:
        self._label = label
        self._unit = unit
        self._display: _Display | None = None

    def __enter__(self) -> Self:
        self._display = _Notebook(self._label, self._unit) if in_notebook() else _terminal(self._label, self._unit)
        return self

    def __exit__(self, *exc: object) -> None:
        display, self._display = self._display, None
        if display is not None:
            display.close()

    def __call__(self, done: int, total: int) -> None:
        """Show the bytes done and the bytes in all; transfers call this."""
        if self._display is not None:
            self._display.update(done, total)

    async def track(self, items: AsyncIterable[T], total: int | None = None) -> AsyncIterator[T]:
        """Yield the items of an async iterator, and show their number: `async for m in bar.track(bob.history(limit=500), 500)`.

        Args:
            items: The iterator, such as `conversation.history(…)`.
            total: The number of items, if it is known; fewer items are no error.

        Raises:
            TimimError: The errors of the iterator.
        """
        done = 0
        async for item in items:
            done += 1
            self(done, max(total or 0, done))
            yield item
        self(done, done)


def _terminal(label: str, unit: str) -> _Display:
    try:
        return _Terminal(label, unit)
    except ModuleNotFoundError:
        return _PlainTerminal(label)


class _Terminal:
    """Line on standard error, because standard output belongs to the program."""

    def __init__(self, label: str, unit: str) -> None:
        from rich.console import Console
        from rich.markup import escape
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            MofNCompleteColumn,
            Progress,
            ProgressColumn,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        console = Console(stderr=True)
        sizes: tuple[ProgressColumn, ...] = DownloadColumn(), TransferSpeedColumn()
        counts: tuple[ProgressColumn, ...] = MofNCompleteColumn(), TextColumn(escape(unit))
        columns = TextColumn("{task.description}"), BarColumn(), *(sizes if unit == "bytes" else counts), TimeRemainingColumn()
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

    def __init__(self, label: str, unit: str) -> None:
        from html import escape  # a late import, because it loads a table of all HTML names

        from IPython.display import display

        self._plain, self._label, self._unit = label, escape(label), escape(unit)
        self._percent = -1
        self._handle: Any = display({"text/html": self._html(0, 0), "text/plain": label}, raw=True, display_id=True)  # type: ignore[no-untyped-call]

    def update(self, done: int, total: int) -> None:
        percent = 100 * done // total if total else 0
        if percent != self._percent:
            self._percent = percent
            text = f"{self._plain} {percent} %"
            self._handle.update({"text/html": self._html(done, total), "text/plain": text}, raw=True)

    def close(self) -> None:
        return

    def _html(self, done: int, total: int) -> str:
        size = f"{done / 1e6:,.1f} of {total / 1e6:,.1f} MB" if self._unit == "bytes" else f"{done:,} of {total:,} {self._unit}"
        size = size if total else "…"
        return f"{self._label} <progress value='{done}' max='{total or 1}'></progress> {size}"

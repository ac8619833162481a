"""Pages of a conversation's history, and how much of the history a device holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, overload

from .message import Message
from .protocol.coverage import Coverage, Interval

__all__ = ["HistoryCoverage", "Page", "history_coverage"]


class Page(Sequence[Message]):
    """Messages, newest first, with a proof of completeness.

    `interval` are the seqs that the page covers without a gap, None if there are none. `complete` means that no message
    is missing, so that a page shorter than asked for reaches the beginning of the history. Offline, the newest messages
    are unknown, and a page of the newest is never complete. `requests` counts the requests to the server.
    """

    def __init__(
        self,
        messages: Sequence[Message],
        *,
        complete: bool,
        interval: Interval | None,
        source: Literal["local", "server", "both"],
        requests: int,
    ) -> None:
        self._messages = tuple(messages)
        self.complete: bool = complete
        self.interval: Interval | None = interval
        self.source: Literal["local", "server", "both"] = source
        self.requests: int = requests

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Message]: ...
    def __getitem__(self, index: int | slice) -> Message | Sequence[Message]:
        return self._messages[index]

    def __len__(self) -> int:
        return len(self._messages)

    def __iter__(self) -> Iterator[Message]:
        return iter(self._messages)

    def __repr__(self) -> str:
        held = f"{self.interval.first} to {self.interval.last}" if self.interval else "nothing"
        state = "complete" if self.complete else "incomplete"
        return f"<Page {len(self)} messages, {held}, {state}, {self.source}, {self.requests} requests>"


@dataclass(frozen=True, slots=True)
class HistoryCoverage:
    """The part of a conversation's history that is stored locally: `intervals` of seqs, with `gaps` between.

    `first_visible_seq` is the first seq that this account may see, `last_seq` the last one that this device knows of.
    """

    intervals: tuple[Interval, ...]
    gaps: tuple[Interval, ...]
    first_visible_seq: int
    last_seq: int

    @property
    def complete(self) -> bool:
        """Whether the whole history is stored locally."""
        return not self.gaps


def history_coverage(held: Coverage, first_visible_seq: int, last_seq: int) -> HistoryCoverage:
    """Return the coverage of a history of which `held` is stored locally."""
    last = max(last_seq, held.last)
    return HistoryCoverage(held.intervals, held.missing(first_visible_seq, last), first_visible_seq, last)

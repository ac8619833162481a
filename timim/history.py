"""Pages of a conversation's history, and how much of the history a device holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, overload

from .message import Message
from .protocol.coverage import Coverage, Interval

__all__ = ["HistoryCoverage", "Page", "history_coverage"]


class Page(Sequence[Message]):
    """Messages, newest first, and what is proven of them.

    `interval`: the seqs that this page covers without a hole (None: none); `complete`: nothing of what was asked is
    missing, so a page shorter than asked for reaches the beginning; `source`: where its messages came from;
    `requests`: how many the server was asked. Offline nobody knows what came last: a page of the newest is incomplete
    then, also when all that is known is held.
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
        self.complete = complete
        self.interval = interval
        self.source = source
        self.requests = requests

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
    """What a device knows of a conversation: `intervals` of seqs are held, `gaps` are not.

    `first_visible_seq`: the first seq that this account may see; `last_seq`: the last there is, as far as this device was told.
    """

    intervals: tuple[Interval, ...]
    gaps: tuple[Interval, ...]
    first_visible_seq: int
    last_seq: int

    @property
    def complete(self) -> bool:
        """All of it is held."""
        return not self.gaps


def history_coverage(held: Coverage, first_visible_seq: int, last_seq: int) -> HistoryCoverage:
    """What is held and what is not."""
    last = max(last_seq, held.last)
    return HistoryCoverage(held.intervals, held.missing(first_visible_seq, last), first_visible_seq, last)

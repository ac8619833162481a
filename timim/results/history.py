"""Pages of a conversation's history, and the coverage of the history on this device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, overload

from ..message import Message
from ..protocol.coverage import Coverage, Interval
from ..util.displayed import Displayed
from .dataframes import DataFrame, dataframe_of

__all__ = ["AsOf", "HistoryCoverage", "Page", "history_coverage"]


class AsOf(NamedTuple):
    """The last entry of a conversation that a device knew of: its seq, and the server time of the last message up to it."""

    seq: int
    time: int


class Page(Displayed, Sequence[Message]):
    """Sequence of messages, newest first, with a proof of completeness."""

    def __init__(
        self,
        messages: Sequence[Message],
        *,
        complete: bool,
        interval: Interval | None,
        source: Literal["local", "server", "both"],
        requests: int,
        as_of: AsOf | None = None,
        gaps: Sequence[Interval] = (),
    ) -> None:
        self._messages = tuple(messages)
        self._complete = complete
        self._interval = interval
        self._source = source
        self._requests = requests
        self._as_of = as_of
        self._gaps = tuple(gaps)

    @property
    def complete(self) -> bool:
        """True if no message is missing; a page with fewer messages than requested reaches the begin of the history.

        Without a connection the newest messages are unknown, so that a page of the newest is never complete.
        """
        return self._complete

    @property
    def interval(self) -> Interval | None:
        """The seqs that the page covers without a gap; None if there are none."""
        return self._interval

    @property
    def source(self) -> Literal["local", "server", "both"]:
        """Origin of the messages: "local", "server" or "both"."""
        return self._source

    @property
    def requests(self) -> int:
        """Number of requests to the server."""
        return self._requests

    @property
    def as_of(self) -> AsOf | None:
        """The seq and the time up to which a page of the newest messages is complete, or None.

        None means that the server named the newest message after the call had begun, or that the page does not reach the
        newest one: then a complete page lacks no message that was acknowledged to its sender before the call. Otherwise the
        page ends with what this device had received, up to this seq: a message that was acknowledged a moment before can be
        missing, because its push is still on the way.
        """
        return self._as_of

    @property
    def gaps(self) -> tuple[Interval, ...]:
        """The seqs between the messages of the page that are not stored on this device; see `get_local_messages`."""
        return self._gaps

    async def to_dataframe(self) -> DataFrame:
        """Return the messages as a data frame of pandas, the oldest first; docs/how-to/analyse_messages.md has its columns.

        Raises:
            InvalidArgument: pandas is not installed; install `timim[dataframe]`.
        """
        return await dataframe_of(self._messages)

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
class HistoryCoverage(Displayed):
    """Coverage of a conversation's history on this device: stored `intervals` of seqs, and `gaps` between them.

    `first_visible_seq` is the first seq that this account may read, `last_seq` the last one that this device knows of.
    `synced` is False while the sync of the conversation waits for a retry: then later messages may exist.
    """

    intervals: tuple[Interval, ...]
    gaps: tuple[Interval, ...]
    first_visible_seq: int
    last_seq: int
    synced: bool = True

    @property
    def complete(self) -> bool:
        """True if the whole history up to `last_seq` is stored locally, and `synced`."""
        return self.synced and not self.gaps


def history_coverage(held: Coverage, first_visible_seq: int, last_seq: int, *, synced: bool = True) -> HistoryCoverage:
    """Return the coverage of a history with the locally stored seqs `held`."""
    last = max(last_seq, held.last)
    return HistoryCoverage(held.intervals, held.missing(first_visible_seq, last), first_visible_seq, last, synced)

"""Results of a search in the local store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, overload

from ..errors import InvalidArgument
from ..ids import ConversationKey
from ..message import Message
from ..util.arguments import Number, checked
from ..util.displayed import Displayed
from ..util.read_only import assigned_once
from .dataframes import DataFrame, dataframe_of
from .history import HistoryCoverage

__all__ = ["SearchCursor", "SearchResult", "Snippet", "TextRange"]


class TextRange(NamedTuple):
    """Range of characters: `text[begin:end]`."""

    begin: int
    end: int


class Snippet(NamedTuple):
    """Part of a message's text, and the ranges of the found words in that part."""

    text: str
    found: tuple[TextRange, ...]


@dataclass(frozen=True, slots=True)
class SearchCursor:
    """End of a page of results. Pass the cursor as `after=` to the same search to get the next page."""

    timestamp: int
    local_id: int


@assigned_once("a result does not change; search again")
class SearchResult(Displayed, Sequence[Message]):
    """Sequence of found messages, newest first, with the parts of the history that could not be searched.

    Attributes:
        gaps: The HistoryCoverage of each searched conversation that is not stored completely.
        next: The cursor of the next page; None if this is the last page.
        requests: Number of requests to the server.
    """

    def __init__(
        self,
        messages: Sequence[Message],
        *,
        find: Callable[[str], Sequence[tuple[int, int]]],
        gaps: Mapping[ConversationKey, HistoryCoverage],
        next: SearchCursor | None,
        requests: int,
    ) -> None:
        self._messages = tuple(messages)
        self._find = find
        self.gaps: Mapping[ConversationKey, HistoryCoverage] = gaps
        self.next: SearchCursor | None = next
        self.requests: int = requests

    @property
    def complete(self) -> bool:
        """True if the whole history that this device knows of was searched."""
        return not self.gaps

    @checked(InvalidArgument)
    def snippet(self, message: Message, *, around: Number = 30) -> Snippet:
        """Return the text of a found message around the first found word, with up to `around` characters on each side."""
        text = "\n".join(filter(None, (elem.search_text for elem in message.elems)))
        found = self._find(text)
        begin, end = (max(0, found[0][0] - around), found[0][1] + around) if found else (0, 2 * around)
        shown = tuple(TextRange(first - begin, last - begin) for first, last in found if last <= end)
        return Snippet(text[begin:end], shown)

    async def to_dataframe(self) -> DataFrame:
        """Return the found messages as a data frame of pandas, as `Page.to_dataframe` does.

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
        missing = sum(gap.size for known in self.gaps.values() for gap in known.gaps)
        held = f"{missing} seqs of {len(self.gaps)} conversations not held" if self.gaps else "complete"
        return f"<SearchResult {len(self)} messages, {held}, {self.requests} requests{', more' if self.next else ''}>"

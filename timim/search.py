"""Results of a search in the local store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, overload

from .history import HistoryCoverage
from .ids import ConversationKey
from .local_store.fulltext import snippet_of
from .message import Message

__all__ = ["SearchCursor", "SearchResult", "Snippet"]


class Snippet(NamedTuple):
    """A part of a message's text, and where in it the words that were looked for are: pairs of begin and end."""

    text: str
    found: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class SearchCursor:
    """Where a page ends: give it as `after=` to the same search for the next page."""

    timestamp: int
    local_id: int


class SearchResult(Sequence[Message]):
    """Messages, newest first, and what was not looked through.

    `gaps`: for each conversation looked in that is not held whole, what is known of it (a HistoryCoverage);
    `complete`: there is none. `next`: the key of the next page, None when this was the last; `requests`: how many the
    server was asked.
    """

    def __init__(
        self,
        messages: Sequence[Message],
        *,
        words: tuple[str, ...],
        gaps: Mapping[ConversationKey, HistoryCoverage],
        next: SearchCursor | None,
        requests: int,
    ) -> None:
        self._messages = tuple(messages)
        self._words = words
        self.gaps = gaps
        self.next = next
        self.requests = requests

    @property
    def complete(self) -> bool:
        """All that there is was looked through, as far as this device was told what there is."""
        return not self.gaps

    def snippet(self, message: Message, *, around: int = 30) -> Snippet:
        """The text of one of these messages around the first word found, at most `around` characters on each side."""
        text, found = snippet_of(message, self._words, around)
        return Snippet(text, found)

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

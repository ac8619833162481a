"""Search in what is held. A result says what it could not look through: nothing that is missing looks like "not found"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, overload

from ..errors import InvalidArgument
from ..ids import ConversationKey
from ..message import Message
from ..words import ElemTypes, Question, kinds_of, snippet_of, words_of
from .history import History, KnownHistory, checked_count, known_of

FILL_LIMIT = 10_000  # seqs fetched for one search: 50 requests; a second search goes on where it ended


class Snippet(NamedTuple):
    """A part of a message's text, and where in it the words that were looked for are: pairs of begin and end."""

    text: str
    found: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class SearchKey:
    """Where a page ends: give it as `after=` to the same search for the next page."""

    timestamp: int
    local_id: int


class SearchResult(Sequence[Message]):
    """Messages, newest first, and what was not looked through.

    `gaps`: for each conversation looked in that is not held whole, what is known of it (`gaps`, `intervals`, `floor`);
    `complete`: there is none. `next`: the key of the next page, None when this was the last; `requests`: how many the
    server was asked.
    """

    def __init__(
        self,
        messages: Sequence[Message],
        *,
        words: tuple[str, ...],
        gaps: Mapping[ConversationKey, KnownHistory],
        next: SearchKey | None,
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


class Search:
    """Asks the store, after having had History fetch what is missing when that was asked for."""

    def __init__(self, history: History) -> None:
        self._history = history

    async def search(
        self,
        words: str | None,
        *,
        key: ConversationKey | None,
        sender: str | None,
        elem: ElemTypes | None,
        since: float | None,
        until: float | None,
        deleted: bool,
        count: int,
        after: SearchKey | None,
        fill: bool,
    ) -> SearchResult:
        count = checked_count(count)
        if words is None and elem is None:
            raise InvalidArgument("there is nothing to search for: give words, or elem=")
        question = Question(
            words=words_of(words) if words is not None else (),
            kinds=kinds_of(elem) if elem is not None else (),
            key=key,
            sender=sender or "",
            since=since,
            until=until,
            deleted=deleted,
            after=(after.timestamp, after.local_id) if after is not None else None,
        )
        requests = await self._history.fill_some(key, FILL_LIMIT) if fill else 0
        found, messages = await self._history.found(question, count + 1)
        next = SearchKey(*found.places[count - 1]) if len(messages) > count else None
        known = {key: known_of(*facts) for key, facts in found.known.items()}
        gaps = {key: history for key, history in known.items() if history.gaps}
        return SearchResult(messages[:count], words=question.words, gaps=gaps, next=next, requests=requests)

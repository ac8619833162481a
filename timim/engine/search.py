"""Search in what is held. A result says what it could not look through: nothing that is missing looks like "not found"."""

from __future__ import annotations

from ..errors import InvalidArgument
from ..history import known_of
from ..ids import ConversationKey
from ..local_store.fulltext import ElemTypes, SearchQuery, elem_types, parse_query
from ..search import SearchCursor, SearchResult
from .history import History, checked_count

FILL_LIMIT = 10_000  # seqs fetched for one search: 50 requests; a second search goes on where it ended


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
        include_deleted: bool,
        count: int,
        after: SearchCursor | None,
        fetch_missing: bool,
    ) -> SearchResult:
        count = checked_count(count)
        if words is None and elem is None:
            raise InvalidArgument("there is nothing to search for: give words, or elem=")
        question = SearchQuery(
            words=parse_query(words) if words is not None else (),
            kinds=elem_types(elem) if elem is not None else (),
            key=key,
            sender=sender or "",
            since=since,
            until=until,
            deleted=include_deleted,
            after=(after.timestamp, after.local_id) if after is not None else None,
        )
        requests = await self._history.fill_some(key, FILL_LIMIT) if fetch_missing else 0
        found, messages = await self._history.found(question, count + 1)
        next = SearchCursor(*found.places[count - 1]) if len(messages) > count else None
        known = {key: known_of(*facts) for key, facts in found.known.items()}
        gaps = {key: history for key, history in known.items() if history.gaps}
        return SearchResult(messages[:count], words=question.words, gaps=gaps, next=next, requests=requests)

"""Search in the local store, by words and by ids.

A result of words lists the gaps that could not be searched, so that a gap is not taken for no match.
"""

from __future__ import annotations

from functools import partial

from ..errors import InvalidArgument
from ..ids import SERVER_MSG_ID, ConversationKey
from ..local_store.fulltext import ElemTypes, SearchQuery, elem_types, parse_query
from ..message import Message
from ..results.history import history_coverage
from ..results.search import SearchCursor, SearchResult
from ..storage import LocalStore
from ..util.folding import find_words
from .history import History, checked_count

FETCH_LIMIT = 10_000  # seqs fetched for one search, by 50 requests; the next search fetches the next ones


class Search:
    """Searches the local store, and fetches missing history first if the caller asks for that."""

    def __init__(self, store: LocalStore, history: History) -> None:
        self._store = store
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
        """Search one conversation, or all if `key` is None. Raises the errors that `Conversation.search` documents."""
        count = checked_count(count)
        if words is None and elem is None:
            raise InvalidArgument("the search has no condition; give words or elem=")
        query = SearchQuery(
            words=parse_query(words) if words is not None else (),
            kinds=elem_types(elem) if elem is not None else (),
            key=key,
            sender=sender or "",
            since=since,
            until=until,
            deleted=include_deleted,
            after=(after.timestamp, after.local_id) if after is not None else None,
        )
        requests = await self._history.fetch_some_missing(key, FETCH_LIMIT) if fetch_missing else 0
        found = await self._store.messages.search(query, count + 1)
        messages = found.messages
        next = SearchCursor(*found.sort_keys[count - 1]) if len(messages) > count else None
        known = {key: history_coverage(*extent, synced=self._history.synced(key)) for key, extent in found.known.items()}
        gaps = {key: history for key, history in known.items() if not history.complete}
        return SearchResult(
            messages[:count], find=partial(find_words, words=query.words), gaps=gaps, next=next, requests=requests
        )

    async def message_with_id(self, id: str | int, key: ConversationKey | None) -> Message | None:
        """Return the message with a msg_id or a unique_id, or None. Raises the errors that `Client.get_message` documents."""
        if id == SERVER_MSG_ID:
            raise InvalidArgument(f"msg_id: {id} is that of each message of the server; give unique_id= and conversation=")
        found = await self._store.messages.with_id(id, key)
        if len(found) > 1:
            where = " and ".join(dict.fromkeys(str(message.key) for message in found[:2]))
            remedy = "give conversation=" if key is None else "give the unique_id, or look in the history"
            raise InvalidArgument(f"several messages have the id {id}, in {where}; {remedy}")
        return found[0] if found else None

"""Requests for unread counts of conversations in which rows are missing on this device."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from ..errors import RequestTimeout, ServerRefused
from ..ids import ConversationKey
from ..protocol import conversation_settings as wire
from ..protocol.messages import Address
from ..storage import LocalStore, ServerUnreadCount
from ..transport.connection import Connection
from .conversations import ConversationIndex

log = logging.getLogger(__name__)


class UnreadCounter:
    """Asks the server for unread counts."""

    def __init__(self, store: LocalStore, connection: Connection, conversations: ConversationIndex) -> None:
        self._store = store
        self._connection = connection
        self._conversations = conversations

    async def count(self, keys: Iterable[ConversationKey]) -> None:
        """Ask the server for unread counts that this device cannot know: rows are missing behind messages that it deleted.

        Raises:
            NetworkError: The server cannot be reached.
            NotLoggedIn: The client is logged out.
            StorageError: The local store failed.
        """
        for key in keys:
            state = await self._store.conversations.unread(key)
            if state.exact:
                continue
            address = Address.of(key)
            query = wire.UnreadQuery(peer=address.peer, group_id=address.group_id, system=address.system, after=state.after)
            try:
                reply = await self._connection.call(wire.COUNT_UNREAD, wire.CountUnreadRequest(items=[query]))
            except (RequestTimeout, ServerRefused) as exc:
                log.warning("the server did not count the unread messages of %s: %s", key, exc)
                continue
            (told,) = reply.states
            count = ServerUnreadCount(told.unread, told.mentioned, told.unread_seq, state.after)
            self._conversations.get(key).set_unread(await self._store.conversations.set_unread(key, count))

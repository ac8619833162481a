"""Deletions at the server, which all devices of this account apply: messages, histories, and conversations of the list.

Each deletion has a number, and the local store has that of the last one it has applied. A deletion that does not follow it is
not applied: the log of the server is read from the stored number on. See docs/adr/0085-deletions-of-all-devices.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import TypeVar

from ..errors import InvalidArgument, ProtocolError, error_for
from ..events import ClientEvent, ConversationDeleted, HistoryCleared, MessagesDeleted
from ..ids import ConversationKey
from ..protocol import deletions as wire
from ..protocol.codec import Body, Command
from ..protocol.conversation_list import TYPE_C2C, TYPE_GROUP
from ..protocol.messages import Address
from ..storage import DELETIONS, Erased, Erasure, LocalStore
from ..transport.connection import Connection
from .conversations import ConversationIndex
from .dispatcher import Dispatcher
from .unread_counter import UnreadCounter

B = TypeVar("B", bound=Body)
D = TypeVar("D", bound=wire.DeletionReply)


class SyncedDeletions:
    """Asks the server for deletions, and applies those of all devices in the order of their numbers."""

    def __init__(
        self,
        store: LocalStore,
        connection: Connection,
        conversations: ConversationIndex,
        dispatcher: Dispatcher,
        counter: UnreadCounter,
    ) -> None:
        self._store = store
        self._connection = connection
        self._conversations = conversations
        self._dispatcher = dispatcher
        self._counter = counter
        self._inexact: set[ConversationKey] = set()  # whose unread counts only the server knows
        self._turn = asyncio.Lock()  # held while deletions are applied

    async def clear(self, key: ConversationKey) -> None:
        """Delete the messages of a conversation up to now. Raises the errors that `clear_history` documents."""
        address = _address(key)
        type = TYPE_GROUP if address.group_id else TYPE_C2C
        body = wire.ClearHistoryRequest(type=type, peer=address.peer, group_id=address.group_id)
        await self._ask(wire.CLEAR_HISTORY, body)

    async def delete_message(self, key: ConversationKey, seq: int) -> None:
        """Delete a message. Raises the errors that `Message.remove` documents."""
        address = _address(key)
        if address.group_id:
            group = wire.DeleteGroupMessagesRequest(group_id=address.group_id, seqs=[seq])
            await self._ask(wire.DELETE_GROUP_MESSAGES, group)
        else:
            await self._ask(wire.DELETE_C2C_MESSAGES, wire.DeleteC2CMessagesRequest(peer=address.peer, seqs=[seq]))

    async def delete_conversation(self, key: ConversationKey, *, messages: bool) -> None:
        """Take a conversation out of the list. Raises the errors that `delete_conversation` documents."""
        address = _address(key)
        item = wire.DeletedContact(
            type=TYPE_GROUP if address.group_id else TYPE_C2C, peer=address.peer, group_id=address.group_id
        )
        reply = await self._connection.call(
            wire.DELETE_CONVERSATIONS, wire.DeleteConversationsRequest(items=[item], clear=int(messages))
        )
        for result in reply.items:
            if result.code:
                raise error_for(result.code, result.info)
        for one in reply.deletions:
            await self.apply(one, own=True)

    async def _ask(self, command: Command[B, D], body: B) -> None:
        reply = await self._connection.call(command, body)
        for item in reply.deletions:
            await self.apply(item, own=True)

    async def apply(self, item: wire.DeletionItem, *, own: bool = False) -> None:
        """Apply a deletion, or the log if the deletion does not follow the last one; deliver the events unless it is `own`.

        Raises:
            NetworkError: The server cannot be reached.
            NotLoggedIn: The client is logged out.
            StorageError: The local store failed.
        """
        async with self._turn:
            known = await self._number()
            if item.before == known:
                await self._erase([item], item.number, own=own)
            elif item.number > known:
                await self._read_log(known)
            await self._counter.count(self._take_inexact())

    async def catch_up(self, number: int) -> set[ConversationKey]:
        """Read the log of the server, if its last number is not the one that this device has applied. Raises as `apply`.

        Returns:
            The conversations whose unread counts only the server knows now.
        """
        async with self._turn:
            known = await self._number()
            if number > known:
                await self._read_log(known)
            return self._take_inexact()

    def _take_inexact(self) -> set[ConversationKey]:
        inexact, self._inexact = self._inexact, set()
        return inexact

    async def _read_log(self, known: int) -> None:
        while True:
            page = await self._connection.call(wire.LIST_DELETIONS, wire.ListDeletionsRequest(after=known))
            await self._erase(page.items, page.number, own=False)
            if page.complete:
                return
            if page.number <= known:
                raise ProtocolError(f"the server's log of deletions does not go on after number {known}")
            known = page.number

    async def _number(self) -> int:
        return int(await self._store.meta.get(DELETIONS, "0"))

    async def _erase(self, items: Sequence[wire.DeletionItem], number: int, *, own: bool) -> None:
        changes = [
            Erasure(Address(one.peer, one.group_id).key, tuple(one.seqs), one.cleared_seq, one.unlisted_seq) for one in items
        ]
        for erased in await self._store.conversations.erase(changes, number):
            self._conversations.on_erased(erased)
            if not erased.exact:
                self._inexact.add(erased.erasure.key)
            if erased.changed and not own:
                for event in _events_of(erased):
                    self._dispatcher.deliver_event(event)


def _address(key: ConversationKey) -> Address:
    """Return the address of a conversation. Raises InvalidArgument for that of the server's notices."""
    address = Address.of(key)
    if address.system:
        raise InvalidArgument("the server's notices cannot be deleted on all devices; delete them on this device")
    return address


def _events_of(erased: Erased) -> Iterator[ClientEvent]:
    key, seqs, cleared, unlisted = erased.erasure
    if seqs:
        yield MessagesDeleted(key, seqs)
    if cleared:
        yield HistoryCleared(key, cleared)
    if unlisted:
        yield ConversationDeleted(key)

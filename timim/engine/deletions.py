"""Deletions on this device: messages, also those that wait to be sent, and conversations.

A deletion is finished even if its caller is cancelled, so that the queue of a conversation and its rows agree.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from ..errors import AlreadySent
from ..ids import ConversationKey
from ..message import Message, MessageStatus
from ..storage import LocalStore
from .attachments import Attachments
from .conversations import ConversationIndex
from .outbox import Outbox
from .send_queue import ConversationQueue
from .synced_deletions import SyncedDeletions


class Deletions:
    """Deletes messages and conversations on this device, and takes back messages that have not left it."""

    def __init__(
        self,
        store: LocalStore,
        conversations: ConversationIndex,
        outbox: Outbox,
        attachments: Attachments,
        synced: SyncedDeletions,
    ) -> None:
        self._store = store
        self._attachments = attachments
        self._conversations = conversations
        self._outbox = outbox
        self._synced = synced

    async def delete_message(self, message: Message, *, keep_row: bool) -> bool:
        """Delete a message's row, or mark it as deleted; return False if there was nothing to do.

        Raises:
            AlreadySent: The message is on its way to the server.
            NotLoggedIn: The client is not open.
            StorageError: The local store failed.
        """
        self._store.check_open()
        return await asyncio.shield(asyncio.create_task(self._delete_message(message, keep_row=keep_row)))

    async def delete_everywhere(self, message: Message) -> bool:
        """Delete a message that has a seq at the server; return False if it is not in the local store.

        Raises:
            TimimError: The errors that `Message.remove` documents.
        """
        self._store.check_open()
        assert message.key is not None
        stored = await self._store.messages.get(message.key, message.seq) is not None
        await self._synced.delete_message(message.key, message.seq)
        message._status = MessageStatus.DELETED
        return stored

    async def delete_conversation(self, key: ConversationKey, *, messages: bool, everywhere: bool) -> bool:
        """Remove a conversation from the list, and if `messages`, its messages; return True if it was listed.

        Raises:
            TimimError: The errors that `Client.delete_conversation` documents.
        """
        if everywhere:
            listed = self._conversations.is_listed(key)
            await self._synced.delete_conversation(key, messages=messages)
            return await self.delete_conversation(key, messages=messages, everywhere=False) or listed
        return await asyncio.shield(asyncio.create_task(self._delete_conversation(key, messages=messages)))

    async def _delete_message(self, message: Message, *, keep_row: bool) -> bool:
        key = message.key
        if key is None:
            return False
        queue = self._outbox.queue_of(key)
        held = queue.hold(message.msg_id)
        try:
            removal = await self._store.messages.delete(message, keep_row=keep_row, waiting=bool(held))
        except BaseException:
            queue.let_go(held)
            raise
        if removal.too_late:
            raise AlreadySent(
                f"the message {message.msg_id} is on its way to the server and can no longer be taken back; wait until it is"
                " sent, then recall or delete it"
            )
        if not removal.done:
            return False
        await self._withdraw(queue, removal.withdrawn)
        if keep_row or removal.withdrawn:
            message._status = MessageStatus.DELETED
        self._conversations.on_message_deleted(key, message, removal, keep_row=keep_row)
        return True

    async def _delete_conversation(self, key: ConversationKey, *, messages: bool) -> bool:
        queue = self._outbox.queue_of(key)
        held = queue.hold() if messages else []
        try:
            waiting = [item.message.msg_id for item in held]
            removal = await self._store.conversations.delete(key, messages=messages, waiting=waiting)
        except BaseException:
            queue.let_go(held)
            raise
        await self._withdraw(queue, removal.withdrawn)
        self._conversations.on_conversation_deleted(key, removal, messages=messages)
        return removal.done

    async def _withdraw(self, queue: ConversationQueue, msg_ids: Collection[str]) -> None:
        for message in queue.withdraw(msg_ids):
            await self._attachments.release(message)

"""What one does to a message: on this device alone (its own fields, marks, deletion), and by acts, for everybody."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from ..message import Message, MessageStatus, Reader
from ..storage import LocalStore
from .message_actions import Acting


class Actions:
    """`gone` hears of messages whose rows were deleted, `changed` of those that got a mark or a field; `acting` raises
    NotLoggedIn while the client is not open.
    """

    def __init__(
        self,
        store: LocalStore,
        *,
        gone: Callable[[Message], None],
        changed: Callable[[Message], None],
        acting: Callable[[], Acting],
    ) -> None:
        self._store = store
        self._gone = gone
        self._changed = changed
        self._acting = acting

    async def set_custom_int(self, message: Message, value: int) -> None:
        await self._store.set_custom_int(message, value)
        message.custom_int = value
        self._changed(message)

    async def set_custom_data(self, message: Message, value: bytes) -> None:
        await self._store.set_custom_data(message, value)
        message.custom_data = bytes(value)
        self._changed(message)

    async def remove(self, message: Message) -> bool:
        done = await self._store.mark_deleted(message)
        if done:
            message.status = MessageStatus.DELETED
            self._changed(message)
        return done

    async def delete_from_storage(self, message: Message) -> bool:
        done = await self._store.delete_message(message)
        if done:
            self._gone(message)
        return done

    async def recall(self, message: Message) -> None:
        await self._acting().recall(message)

    async def edit(self, message: Message, edited: Message) -> None:
        await self._acting().edit(message, edited)

    async def react(self, message: Message, reaction: str, *, remove: bool) -> None:
        await self._acting().react(message, reaction, remove=remove)

    def readers(self, message: Message) -> AsyncIterator[Reader]:
        return self._acting().readers(message)

    def not_readers(self, message: Message) -> AsyncIterator[str]:
        return self._acting().not_readers(message)

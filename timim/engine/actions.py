"""What one does to a message on this device: its own fields, marks, deletion. None of it is sent anywhere."""

from __future__ import annotations

from collections.abc import Callable

from ..message import Message, MessageStatus
from ..storage import LocalStore


class Actions:
    """`gone` hears of messages whose rows were deleted, `changed` of those that got a mark or a field."""

    def __init__(self, store: LocalStore, *, gone: Callable[[Message], None], changed: Callable[[Message], None]) -> None:
        self._store = store
        self._gone = gone
        self._changed = changed

    async def set_custom_int(self, message: Message, value: int) -> None:
        await self._store.set_custom_int(message.local_id, value)
        message.custom_int = value
        self._changed(message)

    async def set_custom_data(self, message: Message, value: bytes) -> None:
        await self._store.set_custom_data(message.local_id, value)
        message.custom_data = bytes(value)
        self._changed(message)

    async def remove(self, message: Message) -> bool:
        done = await self._store.mark_deleted(message.local_id)
        if done:
            message.status = MessageStatus.DELETED
            self._changed(message)
        return done

    async def delete_from_storage(self, message: Message) -> bool:
        done = await self._store.delete_message(message.local_id)
        if done:
            self._gone(message)
        return done

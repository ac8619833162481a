"""Messages to send at a later time. A message leaves this table after its row in the outbox was stored."""

from __future__ import annotations

import sqlite3
from typing import Any, NamedTuple

import msgspec

from ..ids import ConversationKey, ConversationType
from ..message import Message, OfflinePush, Priority
from ..protocol.elems import decode_own_body
from ..protocol.merger import blank_message
from .file import StoreFile
from .message_rows import HAS_MSG_ID
from .requests import packed_requests, unpack_requests

__all__ = ["ScheduledMessage", "ScheduledTable"]

_COLUMNS = "type, peer, msg_id, due, body, cloud_custom_data, priority, mentions, receipt, push"
_pack = msgspec.json.encode


class ScheduledMessage(NamedTuple):
    """A message, the time in server seconds at which it is due, and its push. `sent` is True if it is in the outbox."""

    message: Message
    due: float
    push: OfflinePush | None
    sent: bool


class ScheduledTable:
    """The messages of one account that are due later, on this device only."""

    def __init__(self, file: StoreFile) -> None:
        self._file = file

    async def add(self, message: Message, body: bytes, due: float, push: OfflinePush | None) -> None:
        """Store a message, which has its conversation, with its encoded elems. A msg_id that is stored is left as it is."""
        assert message.key is not None
        await self._file.write_statement(
            f"INSERT INTO scheduled({_COLUMNS}) VALUES(?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING",
            (
                *message.key,
                message.msg_id,
                due,
                body,
                message.cloud_custom_data,
                message.priority.value,
                _pack(list(message.mentions)),
                packed_requests(message),
                _pack(push) if push is not None else None,
            ),
        )

    async def remove(self, msg_id: str) -> bool:
        """Remove a message; return False if it is not stored."""
        return await self._file.write_statement("DELETE FROM scheduled WHERE msg_id=?", (msg_id,)) > 0

    async def all(self) -> list[ScheduledMessage]:
        """Return all messages, the next one first."""

        def read(connection: sqlite3.Connection) -> list[ScheduledMessage]:
            sent = f"EXISTS(SELECT 1 FROM messages m INDEXED BY messages_msg_id WHERE {HAS_MSG_ID.format('s.msg_id')})"
            found = connection.execute(f"SELECT {_COLUMNS}, {sent} FROM scheduled s ORDER BY due, rowid").fetchall()
            return [_scheduled(row) for row in found]

        return await self._file.read(read)


def _scheduled(row: tuple[Any, ...]) -> ScheduledMessage:
    type, peer, msg_id, due, body, cloud, priority, mentions, receipt, push, sent = row
    message = blank_message()
    message.load_body(body, decode_own_body)
    message._key = ConversationKey(ConversationType(type), peer)
    message._msg_id, message._cloud_custom_data = msg_id, cloud
    message._priority = Priority(priority)
    unpack_requests(message, receipt)
    message._mentions = tuple(msgspec.json.decode(mentions))
    message._scheduled_at = due
    return ScheduledMessage(message, due, OfflinePush(**msgspec.json.decode(push)) if push is not None else None, bool(sent))

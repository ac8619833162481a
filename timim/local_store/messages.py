"""The messages of the local store. Each message that leaves it is bound by the store's binder."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from ..errors import InvalidArgument
from ..ids import ConversationKey
from ..message import Message, MessageStatus
from . import fulltext, message_rows, timeline_state, writes
from .file import StoreFile
from .types import Ack, AckResult, IngestBatch, IngestResult, MessageBinder, RowPosition, SearchRows

__all__ = ["ANY_SEQ", "MessageTable"]

ANY_SEQ = 1 << 62  # above every seq


class MessageTable:
    """Messages of one account, sent and received, with what this device put on them."""

    def __init__(self, file: StoreFile, binder: MessageBinder) -> None:
        self._file = file
        self._binder = binder

    # writing

    def add_outgoing(self, message: Message, body: bytes, on_stored: Callable[[int | Exception], None]) -> None:
        """Store a message as SENDING, behind all that was given before.

        Messages that are given while others are being written are stored together.

        Args:
            message: The message; its conversation and its msg_id are set.
            body: Its elems, encoded.
            on_stored: Called with the row's `local_id` after the commit, or with the error. Must not raise, nor block.
        """
        self._file.add(writes.add_outgoing, (message, body), on_stored)

    def settle(self, ack: Ack, on_settled: Callable[[AckResult | Exception], None]) -> None:
        """Store that the server numbered one of our own messages: its row is SUCCEEDED and its seq is covered.

        There is one row, also when the message's push came before its ack. Nobody waits for this write, so it shares the commit
        of the next read or write, or has its own after a moment.
        """
        self._file.defer(writes.settle, ack, on_settled)

    async def mark_failed(self, message: Message, code: int, info: str) -> None:
        """Store that a message will not be sent: it is FAILED."""
        await self._file.write_statement(
            f"UPDATE messages SET status=3, error_code=?, error_info=? WHERE {message_rows.ITS_ROW} AND status=1",
            (code, info, *message_rows.ids_of(message)),
        )
        message.status = MessageStatus.FAILED

    def ingest(self, batches: Sequence[IngestBatch]) -> asyncio.Future[list[IngestResult]]:
        """Store what came, and what it proves, behind all that was given before.

        Returns:
            A future of one result a batch. Together they hold exactly the messages that were never delivered before, in order.

        Raises:
            StorageError: The store is closed, or too much waits.
        """
        storing = self._file.submit(partial(writes.ingest_all, batches=batches))
        storing.add_done_callback(self._bind_results)  # before any callback of the caller
        return storing

    async def set_receipt(self, key: ConversationKey, seq: int, readers: int, others: int) -> bool:
        """Store how many have read a group message. Returns True if that is news."""
        sql = (
            "INSERT INTO receipts VALUES(?,?,?,?,?) ON CONFLICT DO UPDATE SET readers=excluded.readers, others=excluded.others"
            " WHERE readers<excluded.readers OR others<>excluded.others"
        )
        return await self._file.write_statement(sql, (*key, seq, readers, others)) > 0

    async def set_custom_int(self, message: Message, value: int) -> None:
        """Put a number on a message. Raises InvalidArgument past 64 bits, or when the message is not stored here."""
        if not isinstance(value, int) or not -(1 << 63) <= value < 1 << 63:  # type: ignore[redundant-expr]  # users need not run a checker
            raise InvalidArgument("custom_int is a signed 64-bit number")
        await self._set("custom_int", message, value)

    async def set_custom_data(self, message: Message, value: bytes) -> None:
        """Put bytes on a message. Raises InvalidArgument for another type, or when the message is not stored here."""
        if not isinstance(value, bytes | bytearray):
            raise InvalidArgument(f"custom_data is bytes, not {type(value).__name__}")
        await self._set("custom_data", message, bytes(value))

    async def mark_deleted(self, message: Message) -> bool:
        """Give a row the status DELETED; the row stays. Returns True if it was stored here."""
        sql = f"UPDATE messages SET status=4 WHERE {message_rows.ITS_ROW}"
        return await self._file.write_statement(sql, message_rows.ids_of(message)) > 0

    async def delete(self, message: Message) -> bool:
        """Delete a row, so that a gap opens where it stood. Returns True if it was stored here."""
        return await self._file.write(partial(writes.delete_message, message=message))

    # reading

    async def outgoing(self) -> list[Message]:
        """Return the messages that are SENDING, in the order in which they were given."""
        return await self._select("WHERE m.status=1 ORDER BY m.local_id", ())

    async def get(self, key: ConversationKey, seq: int) -> Message | None:
        """Return one numbered message, None when it is not stored here."""
        found = await self._select("WHERE m.type=? AND m.peer=? AND m.seq=?", (*key, seq))
        return found[0] if found else None

    async def msg_id_at(self, key: ConversationKey, seq: int) -> str | None:
        """Return the msg_id of a numbered message, None when it is not stored here."""

        def read(connection: sqlite3.Connection) -> str | None:
            sql = "SELECT msg_id FROM messages WHERE type=? AND peer=? AND seq=?"
            row = connection.execute(sql, (*key, seq)).fetchone()
            return str(row[0]) if row else None

        return await self._file.read(read)

    async def last_of(self, keys: Sequence[ConversationKey]) -> list[Message]:
        """Return the last message of each of these conversations that has one."""
        sql = f"{message_rows.SELECT} WHERE m.type=? AND m.peer=? ORDER BY m.position DESC, m.local_id DESC LIMIT 1"

        def read(connection: sqlite3.Connection) -> list[Message]:
            found = (connection.execute(sql, tuple(key)).fetchone() for key in keys)
            return [message_rows.message_of(row) for row in found if row is not None]

        return self._bound(await self._file.read(read))

    async def position_of(self, key: ConversationKey, at: Message | int) -> RowPosition:
        """Return the position of a message, or of a seq. Raises InvalidArgument for a message that has none here."""
        return await self._file.read(partial(message_rows.place_of, key=key, at=at))

    async def page(
        self, key: ConversationKey, count: int, *, before: RowPosition | None = None, low: int = 0, high: int = ANY_SEQ
    ) -> list[Message]:
        """Return messages newest first, deleted ones too.

        Args:
            key: The conversation.
            count: How many at most.
            before: Only messages before this position; None begins with the last.
            low: Nothing at a lower position.
            high: Nothing with a higher seq.
        """
        return await self._select(
            "WHERE m.type=? AND m.peer=? AND m.position>=? AND (m.position, m.local_id)<(?,?)"
            " AND (m.seq IS NULL OR m.seq<=?) ORDER BY m.position DESC, m.local_id DESC LIMIT ?",
            (*key, low, *(before or (ANY_SEQ, 0)), high, count),
        )

    async def page_after(
        self, key: ConversationKey, count: int, *, after: RowPosition, low: int = 0, high: int = ANY_SEQ
    ) -> list[Message]:
        """Return messages oldest first, deleted ones too.

        Args:
            key: The conversation.
            count: How many at most.
            after: Only messages after this position.
            low: Nothing at a lower position.
            high: Nothing at a higher position.
        """
        return await self._select(
            "WHERE m.type=? AND m.peer=? AND m.position BETWEEN ? AND ? AND (m.position, m.local_id)>(?,?)"
            " ORDER BY m.position, m.local_id LIMIT ?",
            (*key, low, high, *after, count),
        )

    async def search(self, query: fulltext.SearchQuery, limit: int) -> SearchRows:
        """Return the newest `limit` messages that match, and the extents of the timelines that were searched.

        What came since the last search is indexed first, in parts, between which messages are stored.
        """
        while await self._file.read(fulltext.unindexed):
            await self._file.write(fulltext.index_more)

        def read(connection: sqlite3.Connection) -> SearchRows:
            places = fulltext.search(connection, query, limit)
            ids = json.dumps([local_id for _, local_id in places])
            sql = f"{message_rows.SELECT} JOIN json_each(?) j ON m.local_id=j.value ORDER BY j.key"
            messages = [message_rows.message_of(row) for row in connection.execute(sql, (ids,)).fetchall()]
            return SearchRows(messages, places, timeline_state.extents(connection, query.key))

        rows = await self._file.read(read)
        self._bound(rows.messages)
        return rows

    async def _set(self, column: str, message: Message, value: object) -> None:
        sql = f"UPDATE messages SET {column}=? WHERE {message_rows.ITS_ROW}"
        if not await self._file.write_statement(sql, (value, *message_rows.ids_of(message))):
            raise InvalidArgument("this device does not hold the message")

    async def _select(self, where: str, values: tuple[object, ...]) -> list[Message]:
        def read(connection: sqlite3.Connection) -> list[Message]:
            found = connection.execute(f"{message_rows.SELECT} {where}", values).fetchall()
            return [message_rows.message_of(row) for row in found]

        return self._bound(await self._file.read(read))

    def _bound(self, messages: Iterable[Message]) -> list[Message]:
        return [self._binder.bind(message) for message in messages]

    def _bind_results(self, storing: asyncio.Future[list[IngestResult]]) -> None:
        if storing.cancelled() or storing.exception() is not None:
            return
        for result in storing.result():
            self._bound(result.new)
            self._bound(message for _, message in result.acted)

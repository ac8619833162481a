"""The messages of the local store. Each returned message is bound to its client by the store's binder."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from ..errors import InvalidArgument
from ..ids import ConversationKey, seq_and_random
from ..message import Message, MessageStatus
from ..sqlite.database import OnWritten
from . import checksums, deletions, fulltext, message_rows, timeline_state, writes
from .file import StoreFile
from .types import Ack, AckResult, IngestBatch, IngestResult, MessageBinder, Outgoing, Removal, RowPosition, SearchRows

__all__ = ["ANY_SEQ", "MessageTable"]

ANY_SEQ = 1 << 62  # above every seq
_PAGE_BEFORE = (
    f"{message_rows.SELECT} WHERE m.type=? AND m.peer=? AND m.position>=? AND (m.position, m.local_id)<(?,?)"
    " AND (m.seq IS NULL OR m.seq<=?) ORDER BY m.position DESC, m.local_id DESC LIMIT ?"
)
_PAGE_AFTER = (
    f"{message_rows.SELECT} WHERE m.type=? AND m.peer=? AND m.position BETWEEN ? AND ? AND (m.position, m.local_id)>(?,?)"
    " ORDER BY m.position, m.local_id LIMIT ?"
)


class MessageTable:
    """Messages of one account, sent and received, with the custom data of this device."""

    def __init__(self, file: StoreFile, binder: MessageBinder) -> None:
        self._file = file
        self._binder = binder

    # writing

    def add_outgoing(self, outgoing: Outgoing, on_stored: OnWritten[int]) -> None:
        """Queue the storing of a message as SENDING, after all earlier writes.

        Messages that are queued during a write are stored in one transaction.

        The death of the process does not undo the row. A power cut can, if the message leaves this device at once
        (`outgoing.noted`), until the row is synced: with its ack, by `LocalStore.sync`, or after 0.25 s.

        Args:
            outgoing: The message.
            on_stored: Called with the row's `local_id` after the commit, or with the error. Must not raise, nor block.
        """
        self._file.add(writes.add_outgoing, outgoing, on_stored, synced=not outgoing.noted)

    async def note_started(self, key: ConversationKey) -> None:
        """Store that the waiting messages of a conversation may have left this device, so that deleting comes too late."""
        sql = "UPDATE messages SET started=1 WHERE status=1 AND type=? AND peer=?"
        await self._file.write_statement(sql, tuple(key))

    def settle(self, ack: Ack, on_settled: OnWritten[AckResult]) -> None:
        """Store the ack of a sent message: its row becomes SUCCEEDED, and its seq is covered.

        The message has one row, even if its push arrived before its ack. The write is deferred: it is committed with the
        next read or write, or by itself after DEFERRED_S.
        """
        self._file.defer(writes.settle, ack, on_settled)

    async def mark_failed(self, message: Message, code: int, info: str) -> None:
        """Store that a message will not be sent: its row becomes FAILED."""
        await self._file.write_statement(
            f"UPDATE messages SET status=3, error_code=?, error_info=? WHERE {message_rows.ITS_ROW} AND status=1",
            (code, info, *message_rows.ids_of(message)),
        )
        message._status = MessageStatus.FAILED
        self._binder.changed(message)

    async def mark_sending_again(self, message: Message) -> bool:
        """Store that a failed message is being sent again, after all others. Return False if it is not stored as FAILED."""
        sql = (
            "UPDATE messages SET status=1, error_code=0, error_info='', position="
            "(SELECT max(n.position) FROM messages n WHERE n.type=messages.type AND n.peer=messages.peer)"
            f" WHERE {message_rows.ITS_ROW} AND status=3"
        )
        return await self._file.write_statement(sql, message_rows.ids_of(message)) > 0

    async def ingest(self, batches: Sequence[IngestBatch], *, unhandled: bool = False) -> list[IngestResult]:
        """Store received messages and the intervals that they cover, after all earlier writes; see `add_batches`.

        Cancelling does not stop the write.

        Returns:
            A result for each batch.

        Raises:
            StorageError: The store is closed, or its queue is full.
        """
        storing: asyncio.Future[list[IngestResult]] = asyncio.get_running_loop().create_future()

        def on_stored(results: list[IngestResult] | Exception) -> None:
            if storing.cancelled():
                return
            if isinstance(results, Exception):
                storing.set_exception(results)
            else:
                storing.set_result(results)

        self.add_batches(batches, on_stored, unhandled=unhandled)
        return await storing

    def add_batches(
        self,
        batches: Sequence[IngestBatch],
        on_stored: Callable[[list[IngestResult] | Exception], None],
        *,
        unhandled: bool = False,
    ) -> None:
        """Queue the storing of received messages and of the intervals that they cover, after all earlier writes.

        Args:
            batches: The messages.
            on_stored: Called after the commit with a result for each batch, or with the error. Together the results have
                exactly the messages that were never delivered to handlers before, in order. Must not raise, nor block.
            unhandled: True records the new messages of other users as messages that a handler has to handle.
        """

        def on_written(results: list[IngestResult] | Exception) -> None:
            if not isinstance(results, Exception):
                _bind(self._binder, results)
            on_stored(results)

        self._file.add_alone(partial(writes.ingest_all, batches=batches, unhandled=unhandled), on_written)

    async def set_custom_int(self, message: Message, value: int) -> None:
        """Store a number with a message.

        Raises:
            InvalidArgument: The number does not fit in 64 bits, or the message is not stored on this device.
        """
        if not isinstance(value, int) or not -(1 << 63) <= value < 1 << 63:  # type: ignore[redundant-expr]  # users need not run a checker
            raise InvalidArgument("custom_int must be a signed 64-bit integer")
        await self._set("custom_int", message, value)

    async def set_custom_data(self, message: Message, value: bytes) -> None:
        """Store bytes with a message.

        Raises:
            InvalidArgument: The value is not bytes, or the message is not stored on this device.
        """
        if not isinstance(value, bytes | bytearray):
            raise InvalidArgument(f"custom_data must be bytes, not {type(value).__name__}")
        await self._set("custom_data", message, bytes(value))

    async def delete(self, message: Message, *, keep_row: bool = False, waiting: bool = False) -> Removal:
        """Delete a row, which opens a gap at its seq, or set its status to DELETED.

        Args:
            message: The message.
            keep_row: True only sets the status.
            waiting: True if the caller knows that the message has not left this device, whatever the row says.
        """
        delete = partial(deletions.delete_message, message=message, keep_row=keep_row, waiting=waiting)
        removal = await self._file.write(delete)
        return replace(removal, newest=self._binder.written(removal.newest)) if removal.newest is not None else removal

    # reading

    async def outgoing(self) -> list[Message]:
        """Return the messages that are SENDING, in the order in which they were stored."""
        return await self._select("WHERE m.status=1 ORDER BY m.local_id", ())

    async def in_handling(self, *, dead: bool) -> list[Message]:
        """Return the dead letters, or the messages that no handler has finished yet, in the order of each conversation."""
        joined = "JOIN handling h ON h.local_id=m.local_id WHERE (h.dead_at IS NOT NULL)=?"
        return await self._select(f"{joined} ORDER BY m.type, m.peer, m.position, m.local_id", (dead,))

    async def started_ids(self) -> set[str]:
        """Return the msg_ids of the messages that are SENDING and may have left this device."""

        def read(connection: sqlite3.Connection) -> set[str]:
            found = connection.execute("SELECT msg_id FROM messages WHERE status=1 AND started").fetchall()
            return {str(row[0]) for row in found}

        return await self._file.read(read)

    async def get(self, key: ConversationKey, seq: int) -> Message | None:
        """Return the message with this seq, or None if it is not stored."""
        found = await self._select("WHERE m.type=? AND m.peer=? AND m.seq=?", (*key, seq))
        return found[0] if found else None

    async def with_id(self, id: str | int, key: ConversationKey | None) -> list[Message]:
        """Return messages with a msg_id (at most two) or a unique_id, in one conversation, or in all if `key` is None."""
        within = (key and key.type, *(key or (None, None)))
        if isinstance(id, str):
            return await self._select(message_rows.WITH_MSG_ID, (id, *within))
        seq, random = seq_and_random(id)
        found = await self._select(message_rows.WITH_UNIQUE_ID, (seq, f"-{random}", *within))
        return [message for message in found if message.unique_id == id]

    async def msg_id_at(self, key: ConversationKey, seq: int) -> str | None:
        """Return the msg_id of the message with this seq, or None if it is not stored."""

        def read(connection: sqlite3.Connection) -> str | None:
            sql = "SELECT msg_id FROM messages WHERE type=? AND peer=? AND seq=?"
            row = connection.execute(sql, (*key, seq)).fetchone()
            return str(row[0]) if row else None

        return await self._file.read(read)

    async def last_of(self, keys: Sequence[ConversationKey]) -> list[Message]:
        """Return the last message of each conversation; if it is deleted, precede it with the last one that is not."""

        def read(connection: sqlite3.Connection) -> list[Message]:
            found: list[Message] = []
            for key in keys:
                last = message_rows.last_of(connection, key, deleted=True)
                if last is not None and last.status is MessageStatus.DELETED:
                    shown = message_rows.last_of(connection, key)
                    found += [shown] if shown is not None else []
                found += [last] if last is not None else []
            return found

        return await self._read(read)

    async def position_of(self, key: ConversationKey, at: Message | int) -> RowPosition:
        """Return the position of a message, or of a seq. Raises InvalidArgument for a message that is not stored."""
        return await self._file.read(partial(message_rows.position_of, key=key, at=at))

    async def page(
        self, key: ConversationKey, count: int, *, before: RowPosition | None = None, low: int = 0, high: int = ANY_SEQ
    ) -> list[Message]:
        """Return messages newest first, including deleted ones.

        Args:
            key: The conversation.
            count: The maximum number of messages.
            before: Only messages before this position; None starts with the last message.
            low: The lowest position, inclusive.
            high: The highest seq, inclusive; messages without a seq are returned too.
        """
        end = before or RowPosition(ANY_SEQ, 0)

        def read(connection: sqlite3.Connection) -> list[Message]:
            found = connection.execute(_PAGE_BEFORE, (*key, low, *end, high, count)).fetchall()
            messages = [message_rows.message_of(row) for row in found]
            # a message without a seq is sorted behind the one whose seq is its position
            seqs = [message.seq for message in messages if 0 < message.seq < end.position]
            lowest = low if len(messages) < count else min(seqs, default=ANY_SEQ)
            checksums.require_rows(connection, key, lowest, min(high, end.position - 1), seqs)
            return messages

        return await self._read(read)

    async def page_after(
        self, key: ConversationKey, count: int, *, after: RowPosition, low: int = 0, high: int = ANY_SEQ
    ) -> list[Message]:
        """Return messages oldest first, including deleted ones.

        Args:
            key: The conversation.
            count: The maximum number of messages.
            after: Only messages after this position.
            low: The lowest position, inclusive.
            high: The highest position, inclusive.
        """

        def read(connection: sqlite3.Connection) -> list[Message]:
            found = connection.execute(_PAGE_AFTER, (*key, low, high, *after, count)).fetchall()
            messages = [message_rows.message_of(row) for row in found]
            seqs = [message.seq for message in messages if message.seq > after.position]
            highest = high if len(messages) < count else max(seqs, default=0)
            checksums.require_rows(connection, key, max(low, after.position + 1), highest, seqs)
            return messages

        return await self._read(read)

    async def search(self, query: fulltext.SearchQuery, limit: int) -> SearchRows:
        """Return the newest `limit` messages that match, and the extents of the timelines that were searched.

        Rows that are not indexed yet are indexed first, in batches, between which other writes run.
        """
        while await self._file.read(fulltext.unindexed):
            await self._file.write(fulltext.index_more)

        def read(connection: sqlite3.Connection) -> SearchRows:
            sort_keys = fulltext.search(connection, query, limit)
            ids = json.dumps([local_id for _, local_id in sort_keys])
            sql = f"{message_rows.SELECT} JOIN json_each(?) j ON m.local_id=j.value ORDER BY j.key"
            messages = [message_rows.message_of(row) for row in connection.execute(sql, (ids,)).fetchall()]
            return SearchRows(messages, sort_keys, timeline_state.extents(connection, query.key))

        begun, messages = self._binder.begin_read(), []
        try:
            rows = await self._file.read(read)
            messages = rows.messages
        finally:
            messages = self._binder.end_read(begun, messages)
        return replace(rows, messages=messages)

    async def _set(self, column: str, message: Message, value: object) -> None:
        sql = f"UPDATE messages SET {column}=? WHERE {message_rows.ITS_ROW}"
        if not await self._file.write_statement(sql, (value, *message_rows.ids_of(message))):
            raise InvalidArgument("the message is not stored on this device")

    async def _select(self, where: str, values: tuple[object, ...]) -> list[Message]:
        def read(connection: sqlite3.Connection) -> list[Message]:
            found = connection.execute(f"{message_rows.SELECT} {where}", values).fetchall()
            return [message_rows.message_of(row) for row in found]

        return await self._read(read)

    async def _read(self, read: Callable[[sqlite3.Connection], list[Message]]) -> list[Message]:
        """Return the objects of the rows that a read returns; changes during the read are applied to them."""
        begun, messages = self._binder.begin_read(), []
        try:
            messages = await self._file.read(read)
        finally:
            messages = self._binder.end_read(begun, messages)
        return messages


def _bind(binder: MessageBinder, results: Sequence[IngestResult]) -> None:
    """Replace the messages of results by the bound objects of their rows."""
    written = binder.written
    for result in results:
        result.new = binder.written_all(result.new)
        result.acted = [(action, written(message)) for action, message in result.acted]
        for message in result.changed:
            written(message)
        if result.fetched is not None:
            result.fetched = written(result.fetched)

"""The local store: messages, conversations and what is known of each timeline, in one SQLite file.

A message is here as SENDING before its first byte leaves. What this device knows of a timeline is a set of closed
intervals, kept in the same transaction as the rows. No media bytes are kept (source: 获取会话本地消息).
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from .errors import InvalidArgument
from .ids import ConversationKey
from .local_store import fulltext, message_actions, message_rows, timeline_state, writes
from .local_store.file import StoreFile
from .local_store.message_actions import IncomingAction, UnreadCount
from .local_store.types import (
    Ack,
    AckResult,
    ConversationFlags,
    ConversationRow,
    IngestBatch,
    IngestResult,
    MessageRow,
    RowPosition,
    SearchRows,
)
from .message import Message, MessageStatus
from .protocol.coverage import Coverage

__all__ = [
    "Ack",
    "AckResult",
    "ConversationFlags",
    "ConversationRow",
    "IncomingAction",
    "IngestBatch",
    "IngestResult",
    "LocalStore",
    "MessageRow",
    "RowPosition",
    "SearchRows",
    "UnreadCount",
]
SETTLE_WITHIN_S = 0.02
ANY_SEQ = 1 << 62  # above every seq


class LocalStore(StoreFile):
    """One account's store on this device; `path` None keeps nothing. One process at a time has it open."""

    def __init__(self, path: Path | None) -> None:
        super().__init__(path)

    async def meta(self, key: str, default: str) -> str:
        """What this file remembers under `key`; `default` is stored when there is nothing."""

        def op(connection: sqlite3.Connection) -> str:
            connection.execute("INSERT INTO meta VALUES(?,?) ON CONFLICT DO NOTHING", (key, default))
            value: str = connection.execute("SELECT value FROM meta WHERE key=?", (key,)).fetchone()[0]
            return value

        return await self.write(op)

    async def set_meta(self, key: str, value: str) -> None:
        """Remember `value` under `key`."""
        sql = "INSERT INTO meta VALUES(?,?) ON CONFLICT(key) DO UPDATE SET value=excluded.value"
        await self._count(sql, (key, value))

    async def enter_epoch(self, epoch: str) -> bool:
        """The server's epoch. True if another was known: then intervals, heads and seqs are dropped, and rows stay."""
        return await self.write(partial(timeline_state.enter_epoch, epoch=epoch))

    async def forget_history(self) -> None:
        """The server's history is not the one known: intervals, heads and seqs are dropped, and rows stay."""
        await self.write(timeline_state.forget_history)

    def add_outgoing(self, message: Message, body: bytes, on_stored: Callable[[int | Exception], None]) -> None:
        """Store a message as SENDING, behind all that was asked before; `on_stored` gets its `local_id`, or why it has no row.

        Those that are given while others are being written are stored together.
        """
        self.add_item(writes.add_outgoing, (message, body), on_stored)

    def settle(self, ack: Ack, on_settled: Callable[[AckResult | Exception], None]) -> None:
        """The server numbered one of our own messages: SUCCEEDED, and its seq is covered.

        One row, also when a message's push came before its ack. Nobody waits for it, and no message that is sent meanwhile: it
        shares the commit of whatever else is asked of the store next, or has its own after SETTLE_WITHIN_S.
        """
        self.defer(writes.settle, ack, on_settled)

    async def fail(self, message: Message, code: int, info: str) -> None:
        """The message will not be sent: FAILED."""

        def op(connection: sqlite3.Connection) -> None:
            connection.execute(
                f"UPDATE messages SET status=3, error_code=?, error_info=? WHERE {message_rows.ITS_ROW} AND status=1",
                (code, info, *message_rows.ids_of(message)),
            )

        await self.write(op)
        message.status = MessageStatus.FAILED

    async def outgoing(self) -> list[Message]:
        """What is SENDING, in the order in which it was given."""
        return await self._messages(f"{message_rows.SELECT} WHERE m.status=1 ORDER BY m.local_id", ())

    def add(self, batches: Sequence[IngestBatch]) -> asyncio.Future[list[IngestResult]]:
        """Store what came, and what it proves, behind all that was asked before.

        The future is exactly the messages that were never thrown before, in order. Raises StorageError when the store is closed
        or overloaded.
        """

        def op(connection: sqlite3.Connection) -> list[IngestResult]:
            results = [writes.add(connection, batch) for batch in batches]
            for result in results:
                for message in (*result.new, *(message for _, message in result.acted)):
                    self._binder.bind(message)
            return results

        return self.submit(op)

    async def place(self, key: ConversationKey, at: Message | int) -> RowPosition:
        """Where a message, or a seq, stands among the rows. Raises InvalidArgument for a message that has no place here."""
        return await self.read(partial(message_rows.place_of, key=key, at=at))

    async def page(
        self, key: ConversationKey, count: int, *, before: RowPosition | None = None, low: int = 0, high: int = ANY_SEQ
    ) -> list[Message]:
        """Newest first, `before` exclusive, deleted ones too; nothing placed below `low`, nothing numbered above `high`."""
        where = (
            " WHERE m.type=? AND m.peer=? AND m.position>=? AND (m.position, m.local_id)<(?,?)"
            " AND (m.seq IS NULL OR m.seq<=?) ORDER BY m.position DESC, m.local_id DESC LIMIT ?"
        )
        return await self._messages(message_rows.SELECT + where, (*key, low, *(before or (ANY_SEQ, 0)), high, count))

    async def page_up(
        self, key: ConversationKey, count: int, *, after: RowPosition, low: int = 0, high: int = ANY_SEQ
    ) -> list[Message]:
        """Oldest first, `after` exclusive, deleted ones too; nothing placed below `low` or above `high`."""
        where = (
            " WHERE m.type=? AND m.peer=? AND m.position BETWEEN ? AND ? AND (m.position, m.local_id)>(?,?)"
            " ORDER BY m.position, m.local_id LIMIT ?"
        )
        return await self._messages(message_rows.SELECT + where, (*key, low, high, *after, count))

    async def search(self, question: fulltext.SearchQuery, limit: int) -> SearchRows:
        """The newest `limit` messages that match, and what is known of the timelines they were looked for in.

        What came since the last search is indexed first, in parts, between which messages are stored.
        """
        while await self.read(fulltext.unindexed):
            await self.write(fulltext.index_more)

        def op(connection: sqlite3.Connection) -> SearchRows:
            places = fulltext.search(connection, question, limit)
            ids = json.dumps([local_id for _, local_id in places])
            found = connection.execute(
                f"{message_rows.SELECT} JOIN json_each(?) j ON m.local_id=j.value ORDER BY j.key", (ids,)
            ).fetchall()
            return SearchRows([self._bound(row) for row in found], places, timeline_state.known(connection, question.key))

        return await self.read(op)

    async def seq_at(self, key: ConversationKey, time: int, newest: int) -> tuple[int, bool]:
        """The last held seq of this time or an earlier one, 0 for none; and whether the intervals prove it the last.

        They do when what follows it is held too, or is nothing.
        """
        return await self.read(partial(timeline_state.seq_at, key=key, time=time, newest=newest))

    async def coverage(self, key: ConversationKey) -> Coverage:
        """The seqs that this device holds."""
        return await self.read(lambda connection: timeline_state.coverage_of(connection, key))

    async def floor(self, key: ConversationKey) -> int:
        """The first seq that this account may see, as far as this device was told."""
        return await self.read(partial(timeline_state.floor_of, key=key))

    async def conversation(self, key: ConversationKey) -> ConversationRow | None:
        """What is known of a conversation, None when nothing is."""
        found = await self._rows("WHERE c.type=? AND c.peer=?", (key.type, key.peer))
        return found[0] if found else None

    async def heads(self, keys: Sequence[ConversationKey]) -> dict[ConversationKey, int]:
        """The heads of those of these conversations of which something is known."""
        return await self._numbers("head", keys)

    async def acts_seqs(self, keys: Sequence[ConversationKey]) -> dict[ConversationKey, int]:
        """Up to where acts were applied, of those of these conversations of which something is known."""
        return await self._numbers("acts_seq", keys)

    async def _numbers(self, column: str, keys: Sequence[ConversationKey]) -> dict[ConversationKey, int]:
        def op(connection: sqlite3.Connection) -> dict[ConversationKey, int]:
            sql = f"SELECT {column} FROM conversations WHERE type=? AND peer=?"
            found = ((key, connection.execute(sql, tuple(key)).fetchone()) for key in keys)
            return {key: row[0] for key, row in found if row is not None}

        return await self.read(op)

    async def listed(self) -> list[tuple[ConversationKey, int, tuple[int, int]]]:
        """The conversation list, the newest first: each with the time of its last message, and what is unread."""
        return await self.read(timeline_state.listed)

    async def last_messages(self, keys: Sequence[ConversationKey]) -> list[Message]:
        """The last message of each of these conversations that has one."""
        sql = f"{message_rows.SELECT} WHERE m.type=? AND m.peer=? ORDER BY m.position DESC, m.local_id DESC LIMIT 1"

        def op(connection: sqlite3.Connection) -> list[Message]:
            found = (connection.execute(sql, tuple(key)).fetchone() for key in keys)
            return [self._bound(row) for row in found if row is not None]

        return await self.read(op)

    async def msg_id_at(self, key: ConversationKey, seq: int) -> str | None:
        """What the message of this seq is called, None when it is not held."""

        def op(connection: sqlite3.Connection) -> str | None:
            sql = "SELECT msg_id FROM messages WHERE type=? AND peer=? AND seq=?"
            row = connection.execute(sql, (*key, seq)).fetchone()
            return str(row[0]) if row else None

        return await self.read(op)

    async def set_read(self, key: ConversationKey, read_seq: int, count: UnreadCount | None = None) -> tuple[int, int]:
        """Raise the read seq; it never falls. What the server counted then, if it said; what is unread and mentions now."""

        def op(connection: sqlite3.Connection) -> tuple[int, int]:
            timeline_state.ensure(connection, key)
            connection.execute("UPDATE conversations SET read_seq=max(read_seq, ?) WHERE type=? AND peer=?", (read_seq, *key))
            if count is not None:
                message_actions.set_base(connection, key, count)
            return message_actions.unread_of(connection, key)

        return await self.write(op)

    async def set_peer_read(self, key: ConversationKey, seq: int) -> bool:
        """The peer has read up to here. True if that is further than was known."""

        def op(connection: sqlite3.Connection) -> bool:
            timeline_state.ensure(connection, key)
            sql = "UPDATE conversations SET peer_read_seq=? WHERE type=? AND peer=? AND peer_read_seq<?"
            return connection.execute(sql, (seq, *key, seq)).rowcount > 0

        return await self.write(op)

    async def set_receipt(self, key: ConversationKey, seq: int, readers: int, others: int) -> bool:
        """How many have read a group message. True if that is news."""
        sql = (
            "INSERT INTO receipts VALUES(?,?,?,?,?) ON CONFLICT DO UPDATE SET readers=excluded.readers, others=excluded.others"
            " WHERE readers<excluded.readers OR others<>excluded.others"
        )
        return await self._count(sql, (*key, seq, readers, others)) > 0

    async def set_marks(self, key: ConversationKey, marks: ConversationFlags) -> tuple[ConversationFlags, bool]:
        """Pinned, muted, the draft, as the server has them; what they are here then, and whether that is news."""

        def op(connection: sqlite3.Connection) -> tuple[ConversationFlags, bool]:
            timeline_state.ensure(connection, key)
            sql = "SELECT pinned, muted, draft FROM conversations WHERE type=? AND peer=?"
            pinned, muted, draft = connection.execute(sql, tuple(key)).fetchone()
            now = timeline_state.set_marks(connection, key, marks)
            return now, now != ConversationFlags(pinned, bool(muted), draft)

        return await self.write(op)

    async def set_draft(self, key: ConversationKey, draft: str, *, unsent: bool) -> None:
        """Keep a draft; `unsent`: the server has not got it yet."""

        def op(connection: sqlite3.Connection) -> None:
            timeline_state.ensure(connection, key)
            sql = "UPDATE conversations SET draft=?, draft_unsent=? WHERE type=? AND peer=?"
            connection.execute(sql, (draft, unsent, *key))

        await self.write(op)

    async def draft_sent(self, key: ConversationKey, draft: str) -> None:
        """The server has this draft; a later one is still to be sent."""
        sql = "UPDATE conversations SET draft_unsent=0 WHERE type=? AND peer=? AND draft=?"
        await self._count(sql, (*key, draft))

    async def known(self) -> list[ConversationRow]:
        """All conversations of which something is known, listed or not."""
        return await self._rows("", ())

    async def marked(self) -> list[tuple[ConversationKey, ConversationFlags, int]]:
        """Conversations that are pinned, muted, hold a draft or were read by the peer: what is so, and up to which seq."""
        return await self.read(timeline_state.marked)

    async def unsent_drafts(self) -> list[tuple[ConversationKey, str]]:
        """The drafts that the server has not got yet."""
        return await self.read(timeline_state.unsent_drafts)

    async def unread(self, key: ConversationKey) -> tuple[int, int]:
        """How many messages of others are above the read seq, and how many of these mention this account.

        Neither deleted and recalled ones nor a group's tips count; where rows are missing, what the server counted holds.
        """
        return await self.read(lambda connection: message_actions.unread_of(connection, key))

    async def message(self, key: ConversationKey, seq: int) -> Message | None:
        """One numbered message."""
        found = await self._messages(f"{message_rows.SELECT} WHERE m.type=? AND m.peer=? AND m.seq=?", (*key, seq))
        return found[0] if found else None

    async def delete_conversation(self, key: ConversationKey, *, messages: bool) -> bool:
        """Off the list, or with its messages and all that is known of its timeline; True if it was listed."""
        return await self.write(partial(writes.delete_conversation, key=key, messages=messages))

    async def set_custom_int(self, message: Message, value: int) -> None:
        """Raises InvalidArgument past 64 bits, or when the message is not held."""
        if not isinstance(value, int) or not -(1 << 63) <= value < 1 << 63:  # type: ignore[redundant-expr]  # users need not run a checker
            raise InvalidArgument("custom_int is a signed 64-bit number")
        await self._set("custom_int", message, value)

    async def set_custom_data(self, message: Message, value: bytes) -> None:
        """Raises InvalidArgument when it is no bytes, or the message is not held."""
        if not isinstance(value, bytes | bytearray):
            raise InvalidArgument(f"custom_data is bytes, not {type(value).__name__}")
        await self._set("custom_data", message, bytes(value))

    async def mark_deleted(self, message: Message) -> bool:
        """Status 4; the row stays. True if it was held."""
        return await self._count(f"UPDATE messages SET status=4 WHERE {message_rows.ITS_ROW}", message_rows.ids_of(message)) > 0

    async def delete_message(self, message: Message) -> bool:
        """The row goes, and a hole opens where it stood; True if it was held."""
        return await self.write(partial(writes.delete_message, message=message))

    async def _set(self, column: str, message: Message, value: object) -> None:
        if not await self._count(
            f"UPDATE messages SET {column}=? WHERE {message_rows.ITS_ROW}", (value, *message_rows.ids_of(message))
        ):
            raise InvalidArgument("this device does not hold the message")

    async def _count(self, sql: str, values: tuple[object, ...]) -> int:
        return await self.write(lambda connection: connection.execute(sql, values).rowcount)

    def _bound(self, row: tuple[Any, ...]) -> Message:
        return self._binder.bind(message_rows.message_of(row))

    async def _messages(self, sql: str, values: tuple[object, ...]) -> list[Message]:
        def op(connection: sqlite3.Connection) -> list[Message]:
            return [self._bound(row) for row in connection.execute(sql, values).fetchall()]

        return await self.read(op)

    async def _rows(self, where: str, values: tuple[object, ...]) -> list[ConversationRow]:
        def op(connection: sqlite3.Connection) -> list[ConversationRow]:
            found = connection.execute(f"{timeline_state.SELECT_CONVERSATION} {where}", values).fetchall()
            return [timeline_state.conversation_of(connection, row) for row in found]

        return await self.read(op)

"""The conversations of the local store: flags, read seqs, and the known state of each timeline."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from functools import partial

from ..ids import ConversationKey
from ..protocol.coverage import Coverage
from . import deletions, erasures, pending_changes, timeline_state, unread
from .file import StoreFile
from .types import (
    ConversationFlags,
    ConversationRow,
    Erased,
    Erasure,
    FlaggedConversation,
    ListedConversation,
    Removal,
)
from .unread import ServerUnreadCount, UnreadCounts, UnreadState

__all__ = ["ConversationTable"]


class ConversationTable:
    """Conversations of one account, listed or not."""

    def __init__(self, file: StoreFile) -> None:
        self._file = file

    # reading

    async def get(self, key: ConversationKey) -> ConversationRow | None:
        """Return the row of a conversation, or None if the store does not know the conversation."""
        found = await self._select("WHERE c.type=? AND c.peer=?", tuple(key))
        return found[0] if found else None

    async def all(self) -> list[ConversationRow]:
        """Return all known conversations."""
        return await self._select("", ())

    async def listed(self) -> list[ListedConversation]:
        """Return all conversations, with their places in the list and their unread counts."""
        return await self._file.read(timeline_state.listed)

    async def flagged(self) -> list[FlaggedConversation]:
        """Return the conversations that are pinned or muted, have a draft, or were read by the peer."""
        return await self._file.read(timeline_state.flagged)

    async def delivered_seqs(self, keys: Sequence[ConversationKey]) -> dict[ConversationKey, int]:
        """Return the delivered seq of each of these conversations that is in the local store."""

        def read(connection: sqlite3.Connection) -> dict[ConversationKey, int]:
            found = ((key, timeline_state.delivered_seq_of(connection, key)) for key in keys)
            return {key: seq for key, seq in found if seq is not None}

        return await self._file.read(read)

    async def actions_seqs(self, keys: Sequence[ConversationKey]) -> dict[ConversationKey, int]:
        """Return the seq up to which actions were applied, for each of these conversations in the local store."""
        return await self._numbers("acts_seq", keys)

    async def coverage(self, key: ConversationKey) -> Coverage:
        """Return the seqs that this device has stored."""
        return await self._file.read(partial(timeline_state.coverage_of, key=key))

    async def first_visible_seq(self, key: ConversationKey) -> int:
        """Return the first seq that this account may see, as last reported by the server."""
        return await self._file.read(partial(timeline_state.first_visible_seq_of, key=key))

    async def proof(self, key: ConversationKey) -> tuple[Coverage, int]:
        """Return the seqs that this device has stored, and the first seq that this account may see."""
        return await self._file.read(partial(timeline_state.proof_of, key=key))

    async def seq_at(self, key: ConversationKey, time: int, newest: int) -> tuple[int, bool]:
        """Return the last stored seq at or before a time, and True if it is certain that no later one exists.

        The seq is 0 if no message is that old. It is certain if every seq up to the next stored message, or up to
        `newest`, is covered.
        """
        return await self._file.read(partial(timeline_state.seq_at, key=key, time=time, newest=newest))

    async def unread(self, key: ConversationKey) -> UnreadState:
        """Return the unread counts, by the rule of `local_store/unread.py`."""
        return await self._file.read(partial(unread.state_of, key=key))

    # writing

    async def reset_read(self, key: ConversationKey, count: ServerUnreadCount) -> UnreadState | None:
        """Take a read seq that an administrator set at the server, which may be lower than the stored one.

        Return the unread counts, or None if this device has a read seq that it has not sent yet, which is kept.

        Args:
            key: The conversation.
            count: The read seq, with the server's count of the messages above it.
        """

        def write(connection: sqlite3.Connection) -> UnreadState | None:
            timeline_state.ensure(connection, key)
            done = pending_changes.reset_read_seq(connection, key, count)
            return unread.state_of(connection, key) if done else None

        return await self._file.write(write)

    async def set_read(self, key: ConversationKey, read_seq: int, count: ServerUnreadCount | None = None) -> UnreadState:
        """Set the read seq, unless the stored one is higher, and return the unread counts.

        Args:
            key: The conversation.
            read_seq: The seq up to which this account has read.
            count: The server's unread count for this read seq, if the server sent one.
        """

        def write(connection: sqlite3.Connection) -> UnreadState:
            timeline_state.ensure(connection, key)
            connection.execute("UPDATE conversations SET read_seq=max(read_seq, ?) WHERE type=? AND peer=?", (read_seq, *key))
            pending_changes.raise_server_read_seq(connection, key, read_seq)
            if count is not None:
                unread.set_base(connection, key, count)
            unread.forget_read(connection, key)
            return unread.state_of(connection, key)

        return await self._file.write(write)

    async def set_unread(self, key: ConversationKey, count: ServerUnreadCount) -> UnreadCounts:
        """Store a count of the server, and return the unread counts."""

        def write(connection: sqlite3.Connection) -> UnreadCounts:
            unread.set_base(connection, key, count)
            return unread.unread_of(connection, key)

        return await self._file.write(write)

    async def set_receipt(self, key: ConversationKey, seq: int, readers: int, others: int) -> bool:
        """Store the receipt counts of a message; return True if they changed."""
        sql = (
            "INSERT INTO receipts VALUES(?,?,?,?,?) ON CONFLICT DO UPDATE SET readers=excluded.readers, others=excluded.others"
            " WHERE readers<excluded.readers OR others<>excluded.others"
        )
        return await self._file.write_statement(sql, (*key, seq, readers, others)) > 0

    async def set_peer_read(self, key: ConversationKey, seq: int) -> bool:
        """Store the seq up to which the peer has read; return True if it is higher than the stored one."""

        def write(connection: sqlite3.Connection) -> bool:
            timeline_state.ensure(connection, key)
            sql = "UPDATE conversations SET peer_read_seq=? WHERE type=? AND peer=? AND peer_read_seq<?"
            return connection.execute(sql, (seq, *key, seq)).rowcount > 0

        return await self._file.write(write)

    async def set_flags(self, key: ConversationKey, flags: ConversationFlags) -> tuple[ConversationFlags, ConversationFlags]:
        """Store the server's flags, unless newer ones are stored; return those shown before, and those to show now.

        A setting with a pending change keeps the value of this device.
        """
        return await self._file.write(partial(pending_changes.set_flags, key=key, flags=flags))

    async def erase(self, changes: Sequence[Erasure], number: int) -> list[Erased]:
        """Apply deletions that the server has made for this account, and store the number of the last one.

        Return what was deleted here; empty if this number, or a later one, was applied before.
        """
        return await self._file.write(partial(erasures.erase, changes=changes, number=number))

    async def delete(self, key: ConversationKey, *, messages: bool, waiting: Collection[str] = ()) -> Removal:
        """Remove a conversation from the list.

        Args:
            key: The conversation.
            messages: Also delete the conversation's messages and coverage, except messages that may be on their way.
            waiting: The msg_ids of SENDING messages that the caller knows not to have left this device.

        Returns:
            `done` if the conversation was listed.
        """
        return await self._file.write(partial(deletions.delete_conversation, key=key, messages=messages, waiting=waiting))

    async def _numbers(self, column: str, keys: Sequence[ConversationKey]) -> dict[ConversationKey, int]:
        def read(connection: sqlite3.Connection) -> dict[ConversationKey, int]:
            sql = f"SELECT {column} FROM conversations WHERE type=? AND peer=?"
            found = ((key, connection.execute(sql, tuple(key)).fetchone()) for key in keys)
            return {key: row[0] for key, row in found if row is not None}

        return await self._file.read(read)

    async def _select(self, where: str, values: tuple[object, ...]) -> list[ConversationRow]:
        def read(connection: sqlite3.Connection) -> list[ConversationRow]:
            found = connection.execute(f"{timeline_state.SELECT_CONVERSATION} {where}", values).fetchall()
            return [timeline_state.conversation_of(connection, row) for row in found]

        return await self._file.read(read)

"""The conversations of the local store: flags, read seqs, and what this device knows of each timeline."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import partial

from ..ids import ConversationKey
from ..protocol.coverage import Coverage
from . import message_actions, timeline_state, writes
from .file import StoreFile
from .message_actions import ServerUnreadCount, UnreadCounts
from .types import ConversationFlags, ConversationRow, FlaggedConversation, ListedConversation

__all__ = ["ConversationTable"]


class ConversationTable:
    """Conversations of one account, listed or not."""

    def __init__(self, file: StoreFile) -> None:
        self._file = file

    # reading

    async def get(self, key: ConversationKey) -> ConversationRow | None:
        """Return what is known of a conversation, None when nothing is."""
        found = await self._select("WHERE c.type=? AND c.peer=?", tuple(key))
        return found[0] if found else None

    async def all(self) -> list[ConversationRow]:
        """Return all conversations of which something is known."""
        return await self._select("", ())

    async def listed(self) -> list[ListedConversation]:
        """Return the conversation list, the newest first."""
        return await self._file.read(timeline_state.listed)

    async def flagged(self) -> list[FlaggedConversation]:
        """Return the conversations that are pinned or muted, hold a draft, or were read by the peer."""
        return await self._file.read(timeline_state.flagged)

    async def unsent_drafts(self) -> list[tuple[ConversationKey, str]]:
        """Return the drafts that the server has not got yet."""
        return await self._file.read(timeline_state.unsent_drafts)

    async def heads(self, keys: Sequence[ConversationKey]) -> dict[ConversationKey, int]:
        """Return the heads of those of these conversations of which something is known."""
        return await self._numbers("head", keys)

    async def acts_seqs(self, keys: Sequence[ConversationKey]) -> dict[ConversationKey, int]:
        """Return up to which seq actions were applied, of the conversations of which something is known."""
        return await self._numbers("acts_seq", keys)

    async def coverage(self, key: ConversationKey) -> Coverage:
        """Return the seqs that this device has stored."""
        return await self._file.read(partial(timeline_state.coverage_of, key=key))

    async def floor(self, key: ConversationKey) -> int:
        """Return the first seq that this account may see, as far as this device was told."""
        return await self._file.read(partial(timeline_state.floor_of, key=key))

    async def seq_at(self, key: ConversationKey, time: int, newest: int) -> tuple[int, bool]:
        """Return the last stored seq of this time or an earlier one, and whether the coverage proves it the last.

        The seq is 0 when there is none. It is proven when what follows it is stored too, or is nothing.
        """
        return await self._file.read(partial(timeline_state.seq_at, key=key, time=time, newest=newest))

    async def unread(self, key: ConversationKey) -> UnreadCounts:
        """Return how many messages of others are above the read seq, and how many of them mention this account.

        Neither deleted and recalled ones nor a group's tips count. Where rows are missing, the server's count is used.
        """
        return await self._file.read(partial(message_actions.unread_of, key=key))

    # writing

    async def set_read(self, key: ConversationKey, read_seq: int, count: ServerUnreadCount | None = None) -> UnreadCounts:
        """Raise the read seq, which never falls. Returns what is unread now.

        Args:
            key: The conversation.
            read_seq: The seq up to which this account has read.
            count: What the server counted then, if it said.
        """

        def write(connection: sqlite3.Connection) -> UnreadCounts:
            timeline_state.ensure(connection, key)
            connection.execute("UPDATE conversations SET read_seq=max(read_seq, ?) WHERE type=? AND peer=?", (read_seq, *key))
            if count is not None:
                message_actions.set_base(connection, key, count)
            return message_actions.unread_of(connection, key)

        return await self._file.write(write)

    async def set_peer_read(self, key: ConversationKey, seq: int) -> bool:
        """Store the seq up to which the peer has read. Returns True if it is higher than the known one."""

        def write(connection: sqlite3.Connection) -> bool:
            timeline_state.ensure(connection, key)
            sql = "UPDATE conversations SET peer_read_seq=? WHERE type=? AND peer=? AND peer_read_seq<?"
            return connection.execute(sql, (seq, *key, seq)).rowcount > 0

        return await self._file.write(write)

    async def set_flags(self, key: ConversationKey, flags: ConversationFlags) -> tuple[ConversationFlags, bool]:
        """Store the flags that the server has. Returns the flags as they are here then, and whether they changed."""

        def write(connection: sqlite3.Connection) -> tuple[ConversationFlags, bool]:
            timeline_state.ensure(connection, key)
            sql = "SELECT pinned, muted, draft FROM conversations WHERE type=? AND peer=?"
            pinned, muted, draft = connection.execute(sql, tuple(key)).fetchone()
            now = timeline_state.set_flags(connection, key, flags)
            return now, now != ConversationFlags(pinned, bool(muted), draft)

        return await self._file.write(write)

    async def set_draft(self, key: ConversationKey, draft: str, *, unsent: bool) -> None:
        """Store a draft. `unsent` tells that the server has not got it yet."""

        def write(connection: sqlite3.Connection) -> None:
            timeline_state.ensure(connection, key)
            sql = "UPDATE conversations SET draft=?, draft_unsent=? WHERE type=? AND peer=?"
            connection.execute(sql, (draft, unsent, *key))

        await self._file.write(write)

    async def mark_draft_sent(self, key: ConversationKey, draft: str) -> None:
        """Store that the server has this draft. A later draft stays unsent."""
        sql = "UPDATE conversations SET draft_unsent=0 WHERE type=? AND peer=? AND draft=?"
        await self._file.write_statement(sql, (*key, draft))

    async def delete(self, key: ConversationKey, *, messages: bool) -> bool:
        """Take a conversation off the list. Returns True if it was listed.

        Args:
            key: The conversation.
            messages: Also delete its messages and all that is known of its timeline.
        """
        return await self._file.write(partial(writes.delete_conversation, key=key, messages=messages))

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

"""Changes of conversations that the server has not accepted yet: at most one for each conversation and setting.

Invariant: a change is stored in the transaction that changes the value this device shows. While the change is pending, values
of the server do not replace the shown one, but are kept beside it: if the server refuses the change, the last of them is shown.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from ..ids import ConversationKey, ConversationSetting, ConversationType
from . import timeline_state, unread
from .file import StoreFile
from .types import ConversationFlags
from .unread import ServerUnreadCount, UnreadState

__all__ = ["PendingChange", "PendingChangeTable", "raise_server_read_seq", "reset_read_seq", "set_flags"]

_COLUMNS = {
    ConversationSetting.PINNED: "pinned",
    ConversationSetting.MUTED: "muted",
    ConversationSetting.DRAFT: "draft",
    ConversationSetting.READ: "read_seq",
}
_THIS = " WHERE type=? AND peer=? AND setting=?"
_FLAGS = "SELECT pinned, muted, draft, settings_version FROM conversations WHERE type=? AND peer=?"
_FLAGS_AND_PENDING = (
    "SELECT pinned, muted, draft, settings_version,"
    " EXISTS(SELECT 1 FROM pending_changes p WHERE p.type=c.type AND p.peer=c.peer)"
    " FROM conversations c WHERE type=? AND peer=?"
)
_WRITE_FLAGS = "UPDATE conversations SET pinned=?, muted=?, draft=?, settings_version=? WHERE type=? AND peer=?"


@dataclass(frozen=True, slots=True)
class PendingChange:
    """A change that the server has not accepted yet.

    Attributes:
        key: The conversation.
        setting: The setting.
        value: The time of pinning or 0, 1 or 0 for muted, the draft, or the seq up to which this account has read.
        number: Increases when the same setting is changed again.
        made_at: The time of the change by the clock of this device, in Unix seconds.
    """

    key: ConversationKey
    setting: ConversationSetting
    value: int | str
    number: int
    made_at: float


class PendingChangeTable:
    """The pending changes of one account."""

    def __init__(self, file: StoreFile) -> None:
        self._file = file

    async def all(self) -> list[PendingChange]:
        """Return all pending changes, those made first before the others."""
        return await self._file.read(partial(_select, where="", values=()))

    async def reads(self) -> list[PendingChange]:
        """Return the read seqs that the server has not accepted yet."""
        return await self._file.read(partial(_select, where=" WHERE setting=?", values=(ConversationSetting.READ.value,)))

    async def of(self, key: ConversationKey, setting: ConversationSetting) -> list[PendingChange]:
        """Return the pending change of a setting, if there is one."""
        return await self._file.read(partial(_select, where=_THIS, values=(*key, setting.value)))

    def set_flag(
        self, key: ConversationKey, setting: ConversationSetting, value: int | str, *, made_at: float
    ) -> asyncio.Future[ConversationFlags]:
        """Store a change of a flag or of the draft, which replaces an earlier one; return a future of the flags to show."""

        def write(connection: sqlite3.Connection) -> ConversationFlags:
            _store(connection, key, setting, value, made_at)
            return _flags_of(connection, key)

        return self._file.submit(write)

    def set_read(self, reads: Sequence[tuple[ConversationKey, int]], *, made_at: float) -> asyncio.Future[list[UnreadState]]:
        """Store that conversations are read up to the given seqs; return a future of their unread counts."""

        def write(connection: sqlite3.Connection) -> list[UnreadState]:
            for key, seq in reads:
                _store(connection, key, ConversationSetting.READ, seq, made_at)
            return [unread.state_of(connection, key) for key, _ in reads]

        return self._file.submit(write)

    async def accept_flag(self, change: PendingChange, flags: ConversationFlags) -> tuple[ConversationFlags, ConversationFlags]:
        """Store the server's flags after a change; return the flags that were shown before, and those to show now."""

        def write(connection: sqlite3.Connection) -> tuple[ConversationFlags, ConversationFlags]:
            before = _flags_of(connection, change.key)
            _remove(connection, change)
            set_flags(connection, change.key, flags)
            return before, _flags_of(connection, change.key)

        return await self._file.write(write)

    async def accept_reads(self, accepted: Sequence[tuple[PendingChange, ServerUnreadCount]]) -> list[UnreadState]:
        """Store the read seqs that the server has stored, and its unread counts; return the unread counts."""

        def write(connection: sqlite3.Connection) -> list[UnreadState]:
            for change, count in accepted:
                key = change.key
                _remove(connection, change)
                sql = "UPDATE conversations SET read_seq=max(read_seq, ?) WHERE type=? AND peer=?"
                connection.execute(sql, (count.after, *key))
                raise_server_read_seq(connection, key, count.after)
                if count.seq:
                    unread.set_base(connection, key, count)
                unread.forget_read(connection, key)
            return [unread.state_of(connection, change.key) for change, _ in accepted]

        return await self._file.write(write)

    async def refuse_flag(self, change: PendingChange) -> ConversationFlags:
        """Remove a change that the server refused, unless it was replaced; return the flags to show."""

        def write(connection: sqlite3.Connection) -> ConversationFlags:
            _remove(connection, change)
            return _flags_of(connection, change.key)

        return await self._file.write(write)

    async def refuse_read(self, change: PendingChange) -> tuple[int, UnreadState]:
        """Remove a read seq that the server refused, unless it was replaced; return the read seq and the unread counts."""

        def write(connection: sqlite3.Connection) -> tuple[int, UnreadState]:
            _remove(connection, change)
            (read_seq,) = connection.execute(
                "SELECT read_seq FROM conversations WHERE type=? AND peer=?", tuple(change.key)
            ).fetchone()
            return read_seq, unread.state_of(connection, change.key)

        return await self._file.write(write)


def set_flags(
    connection: sqlite3.Connection, key: ConversationKey, flags: ConversationFlags
) -> tuple[ConversationFlags, ConversationFlags]:
    """Store the server's flags, unless newer ones are stored; return those shown before, and those to show now."""
    timeline_state.ensure(connection, key)
    before, pending = _flags_and_pending(connection, key)
    if flags.version < before.version:
        return before, before
    if not pending:  # as nearly always, and most flags of a sync are the same
        if flags != before or flags.version != before.version:
            connection.execute(_WRITE_FLAGS, (flags.pinned, flags.muted, flags.draft, flags.version, *key))
        return before, flags
    values: dict[ConversationSetting, int | str] = {
        ConversationSetting.PINNED: flags.pinned,
        ConversationSetting.MUTED: int(flags.muted),
        ConversationSetting.DRAFT: flags.draft,
    }
    for setting, value in values.items():
        kept = connection.execute(f"UPDATE pending_changes SET server_value=?{_THIS}", (value, *key, setting.value)).rowcount
        if not kept:
            _show(connection, key, setting, value)
    connection.execute("UPDATE conversations SET settings_version=? WHERE type=? AND peer=?", (flags.version, *key))
    return before, _flags_of(connection, key)


def raise_server_read_seq(connection: sqlite3.Connection, key: ConversationKey, seq: int) -> None:
    """Note the read seq of the server beside one that the server has not accepted yet."""
    sql = f"UPDATE pending_changes SET server_value=max(server_value, ?){_THIS}"
    connection.execute(sql, (seq, *key, ConversationSetting.READ.value))


def reset_read_seq(
    connection: sqlite3.Connection, key: ConversationKey, count: ServerUnreadCount, *, version: int = 1 << 62
) -> bool:
    """Take the read seq of the server, which an administrator set, unless this device has a later one to send.

    Args:
        connection: The local store.
        key: The conversation.
        count: The read seq, with the server's count of the messages above it.
        version: The settings version at which the read seq was set; one that this device knows changes nothing.

    Returns:
        True if the read seq of the server was stored.
    """
    sql = (
        "UPDATE conversations SET read_seq=?, base_unread=?, base_mentioned=?, base_seq=?, base_after=?"
        " WHERE type=? AND peer=? AND settings_version<?"
        f" AND NOT EXISTS (SELECT 1 FROM pending_changes{_THIS})"
    )
    values = (count.after, count.unread, count.mentioned, count.seq, count.after)
    done = connection.execute(sql, (*values, *key, version, *key, ConversationSetting.READ.value))
    return done.rowcount == 1


def _select(connection: sqlite3.Connection, where: str, values: tuple[object, ...]) -> list[PendingChange]:
    sql = f"SELECT type, peer, setting, value, number, made_at FROM pending_changes{where} ORDER BY made_at, type, peer"
    found = connection.execute(sql, values)
    return [
        PendingChange(ConversationKey(ConversationType(type), peer), ConversationSetting(setting), *others)
        for type, peer, setting, *others in found
    ]


def _store(
    connection: sqlite3.Connection, key: ConversationKey, setting: ConversationSetting, value: int | str, made_at: float
) -> None:
    """Show a value and store it as pending; a read seq never gets lower."""
    timeline_state.ensure(connection, key)
    column, highest = _COLUMNS[setting], "?"
    if setting is ConversationSetting.READ:
        highest = "max(value, ?)"
    connection.execute(
        f"INSERT INTO pending_changes SELECT type, peer, ?, ?, 1, ?, {column} FROM conversations WHERE type=? AND peer=?"
        f" ON CONFLICT DO UPDATE SET value={highest}, number=number+1, made_at=excluded.made_at",
        (setting.value, value, made_at, *key, value),
    )
    if setting is ConversationSetting.READ:
        connection.execute("UPDATE conversations SET read_seq=max(read_seq, ?) WHERE type=? AND peer=?", (value, *key))
    else:
        _show(connection, key, setting, value)


def _remove(connection: sqlite3.Connection, change: PendingChange) -> None:
    """Remove a change and show the last value of the server, unless the setting was changed again since."""
    row = connection.execute(
        f"DELETE FROM pending_changes{_THIS} AND number=? RETURNING server_value",
        (*change.key, change.setting.value, change.number),
    ).fetchone()
    if row is not None:
        _show(connection, change.key, change.setting, row[0])


def _show(connection: sqlite3.Connection, key: ConversationKey, setting: ConversationSetting, value: int | str) -> None:
    connection.execute(f"UPDATE conversations SET {_COLUMNS[setting]}=? WHERE type=? AND peer=?", (value, *key))


def _flags_and_pending(connection: sqlite3.Connection, key: ConversationKey) -> tuple[ConversationFlags, bool]:
    """Return the flags of a conversation, and True if changes wait for the server."""
    pinned, muted, draft, version, pending = connection.execute(_FLAGS_AND_PENDING, tuple(key)).fetchone()
    return ConversationFlags(pinned, bool(muted), draft, version), bool(pending)


def _flags_of(connection: sqlite3.Connection, key: ConversationKey) -> ConversationFlags:
    pinned, muted, draft, version = connection.execute(_FLAGS, tuple(key)).fetchone()
    return ConversationFlags(pinned, bool(muted), draft, version)

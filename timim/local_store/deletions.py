"""SQL operations that delete messages and conversations on this device, inside the local store's transactions."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection

from ..ids import ConversationKey, ConversationType
from ..message import Message, MessageStatus
from . import unread
from .checksums import NOTHING
from .message_rows import ITS_ROW, ids_of, last_of
from .timeline_state import coverage_of, write_coverage
from .types import LastPosition, Removal


def delete_message(connection: sqlite3.Connection, *, message: Message, keep_row: bool, waiting: bool) -> Removal:
    """Delete the row of a message and open a gap at its seq, or set its status to DELETED.

    A message that may have left this device stays, unless `waiting` says that it has not.
    """
    sql = f"SELECT type, peer, seq, status, started, position, local_id FROM messages WHERE {ITS_ROW}"
    row = connection.execute(sql, ids_of(message)).fetchone()
    if row is None or (keep_row and row[3] == MessageStatus.DELETED):
        return Removal(done=False)
    type, peer, seq, status, started, *place = row
    key, sending = ConversationKey(ConversationType(type), peer), status == MessageStatus.SENDING
    if sending and started and not waiting:
        return Removal(done=False, too_late=True)
    if keep_row:
        connection.execute(f"UPDATE messages SET status=4 WHERE {ITS_ROW}", ids_of(message))
    else:
        unread.remember_deleted(connection, message.local_id)
        _remember_own(connection, "m.local_id=?", (message.local_id,))
        connection.execute(f"DELETE FROM messages WHERE {ITS_ROW}", ids_of(message))
        if seq is not None:
            write_coverage(connection, key, coverage_of(connection, key).remove(seq, seq))
    unread.forget_read(connection, key)
    return Removal(
        done=True,
        withdrawn=frozenset({message.msg_id} if sending else ()),
        unread=unread.unread_of(connection, key),
        last=_after_deletion(connection, key, tuple(place)),
        newest=last_of(connection, key),
    )


def _remember_own(connection: sqlite3.Connection, where: str, values: tuple[object, ...]) -> None:
    """Remember own messages that are about to be deleted and that a sync will fetch, so that they are not new then.

    An ack that overtook others is above the delivered seq.
    """
    connection.execute(
        "INSERT INTO own_deleted SELECT m.type, m.peer, m.seq FROM messages m"
        " JOIN conversations c ON c.type=m.type AND c.peer=m.peer"
        f" WHERE {where} AND m.is_self AND m.seq>c.head ON CONFLICT DO NOTHING",
        values,
    )


def _after_deletion(connection: sqlite3.Connection, key: ConversationKey, deleted: tuple[int, ...]) -> LastPosition:
    """Move a conversation in the list to the place of its last message, if the deleted one was behind it."""
    where = " WHERE type=? AND peer=?"
    last = f" AND status<>4 AND NOT quiet&{unread.NO_LAST} ORDER BY position DESC, local_id DESC LIMIT 1"
    found = connection.execute(f"SELECT timestamp, local_id, position FROM messages{where}{last}", tuple(key)).fetchone()
    if found is not None and (found[2], found[1]) < deleted:
        connection.execute("UPDATE conversations SET last_time=?, last_id=?" + where, (*found[:2], *key))
    return LastPosition(*connection.execute("SELECT last_time, last_id FROM conversations" + where, tuple(key)).fetchone())


def delete_conversation(
    connection: sqlite3.Connection, key: ConversationKey, *, messages: bool, waiting: Collection[str]
) -> Removal:
    """Remove a conversation from the list, and if `messages`, its messages and coverage.

    Messages that are SENDING and may have left this device stay; those of `waiting` have not left it, whatever the row says.

    Returns:
        `done` if the conversation was listed.
    """
    where = " WHERE type=? AND peer=?"
    row = connection.execute("SELECT listed FROM conversations" + where, tuple(key)).fetchone()
    connection.execute("UPDATE conversations SET listed=0, hidden_seq=last_seq" + where, tuple(key))
    withdrawn: frozenset[str] = frozenset()
    if messages:
        sql = "UPDATE conversations SET coverage='[]', checksum=?+floor+head, cleared_seq=last_seq"
        connection.execute(sql + where, (NOTHING, *key))
        unread.forget_read(connection, key)
        sql = where + " AND status=1 AND (NOT started OR msg_id IN (SELECT value FROM json_each(?))) RETURNING msg_id"
        found = connection.execute("DELETE FROM messages" + sql, (*key, json.dumps(list(waiting)))).fetchall()
        withdrawn = frozenset(str(msg_id) for (msg_id,) in found)
        _remember_own(connection, "m.type=? AND m.peer=?", tuple(key))
        connection.execute(f"DELETE FROM messages{where} AND status<>1", tuple(key))
    return Removal(done=bool(row and row[0]), withdrawn=withdrawn, unread=unread.unread_of(connection, key))

"""Message actions in the local store: applied to stored rows, or stored until the row of their message arrives.

The order of arrival does not matter: for each kind of action the one with the highest seq wins, whether it arrives
before, after or inside its message. Data that this device put on a row (custom fields, read flags) is preserved.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
from msgspec.structs import replace

from ..ids import ConversationKey, ConversationType
from ..message import MessageState
from ..protocol.entries import MessageActionKind
from . import unread
from .checksums import of_body, of_header, require_body, require_header

_encode = msgspec.json.Encoder().encode
_state_decoder = msgspec.json.Decoder(MessageState)
_NO_BODY = b"[]"


@dataclass(frozen=True, slots=True)
class IncomingAction:
    """The received entry of an action. `calls_me`: the recalled message mentioned this account."""

    seq: int
    kind: str
    target: int
    target_from: str
    operator: str
    time: int
    body: str = ""
    cloud_custom_data: str = ""
    reaction: str = ""
    removed: bool = False
    reactions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    version: int = 0
    calls_me: bool = False


_action_decoder = msgspec.json.Decoder(IncomingAction)


def state_of(packed: bytes | None) -> MessageState:
    """Return the state of a row from its column."""
    return _state_decoder.decode(packed) if packed else MessageState()


def packed_state(state: MessageState) -> bytes | None:
    """Encode a state for its column. Return None for a message without actions."""
    return _encode(state) if state != MessageState() else None


def merged(one: MessageState, other: MessageState) -> MessageState:
    """Return the state with the later action of each kind. A recalled message has no reactions."""
    if other.recall_seq > one.recall_seq:
        one = replace(one, recall_seq=other.recall_seq, recaller=other.recaller, recalled_at=other.recalled_at)
    if other.edit_seq > one.edit_seq:
        one = replace(one, edit_seq=other.edit_seq, editor=other.editor, edited_at=other.edited_at, version=other.version)
    if other.react_seq > one.react_seq:
        one = replace(one, react_seq=other.react_seq, reactions=other.reactions)
    return replace(one, reactions={}) if one.recall_seq and one.reactions else one


def write_message(
    connection: sqlite3.Connection,
    local_id: int,
    received: MessageState,
    body: bytes,
    cloud_custom_data: str,
    *,
    counted: bool = False,
) -> bool:
    """Merge a received state and its body into a row, which may have later ones; return True if its state changed.

    `counted` means that a recall was subtracted from the server's unread count before.
    """
    row = connection.execute(
        "SELECT state, body, cloud_custom_data, type, peer, seq, is_self, calls, sender, timestamp, checksum, header_checksum"
        " FROM messages WHERE local_id=?",
        (local_id,),
    ).fetchone()
    *row, sender, timestamp, checksum, header_checksum = row
    require_body(checksum, row[1])  # the body may be written again with a new checksum
    require_header(header_checksum, sender, timestamp, row[6], row[2])
    stored = state_of(row[0])
    state = merged(stored, received)
    if received.edit_seq < stored.edit_seq:
        body, cloud_custom_data = row[1], row[2]
    if state.recall_seq:
        body, cloud_custom_data = _NO_BODY, ""
    connection.execute(
        "UPDATE messages SET state=?, body=?, checksum=?, cloud_custom_data=?, header_checksum=?, quiet=quiet|?"
        " WHERE local_id=?",
        (
            packed_state(state),
            body,
            of_body(body),
            cloud_custom_data,
            of_header(sender, timestamp, row[6], cloud_custom_data),
            int(bool(state.recall_seq)),
            local_id,
        ),
    )
    type, peer, seq, is_self, calls = row[3:]
    if state.recall_seq and not (stored.recall_seq or is_self or counted):
        unread.recalled(connection, ConversationKey(ConversationType(type), peer), seq, state.recall_seq, calls=calls)
    return state != stored


def apply(
    connection: sqlite3.Connection, key: ConversationKey, action: IncomingAction, user_id: str, *, waited: bool = False
) -> int | None:
    """Apply an action to its message; return the row's local_id.

    If the message has no row, store the action until the row arrives, and return None. `waited` means that the action was
    stored so.
    """
    row = connection.execute(
        "SELECT local_id, body, cloud_custom_data FROM messages WHERE type=? AND peer=? AND seq=?", (*key, action.target)
    ).fetchone()
    if row is None:
        if is_erased(connection, key, action.target):
            return None
        if (
            action.kind == MessageActionKind.RECALL
            and action.target_from != user_id
            and not recall_waits(connection, key, action.target)
        ):
            unread.recalled(connection, key, action.target, action.seq, calls=action.calls_me)
        connection.execute(
            "INSERT INTO acts VALUES(?,?,?,?,?,?) ON CONFLICT DO UPDATE SET seq=excluded.seq, act=excluded.act"
            " WHERE excluded.seq>acts.seq",
            (*key, action.target, action.kind, action.seq, _encode(action)),
        )
        return None
    local_id, body, cloud = row
    match action.kind:
        case MessageActionKind.RECALL:
            received = MessageState(recall_seq=action.seq, recaller=action.operator, recalled_at=action.time)
        case MessageActionKind.EDIT:
            received = MessageState(edit_seq=action.seq, editor=action.operator, edited_at=action.time, version=action.version)
            body, cloud = action.body.encode(), action.cloud_custom_data
        case MessageActionKind.REACT:
            received = MessageState(react_seq=action.seq, reactions=dict(action.reactions))
        case _:
            return None  # a kind of a later version
    if action.kind == MessageActionKind.EDIT:
        write_message(connection, local_id, received, body, cloud)
    else:
        stored = state_of(connection.execute("SELECT state FROM messages WHERE local_id=?", (local_id,)).fetchone()[0])
        write_message(connection, local_id, merged(stored, received), body, cloud, counted=waited)
    return int(local_id)


def is_erased(connection: sqlite3.Connection, key: ConversationKey, seq: int) -> bool:
    """Return whether a message was deleted at the server, so that no action on it is kept."""
    sql = "SELECT 1 FROM erased WHERE type=? AND peer=? AND seq=? UNION ALL"
    sql += " SELECT 1 FROM conversations WHERE type=? AND peer=? AND erased_seq>=? LIMIT 1"
    return connection.execute(sql, (*key, seq) * 2).fetchone() is not None


def recall_waits(connection: sqlite3.Connection, key: ConversationKey, target: int) -> bool:
    """Return whether a recall waits for its message, so that it was subtracted from the server's unread count before."""
    sql = "SELECT 1 FROM acts WHERE type=? AND peer=? AND target=? AND kind=?"
    return connection.execute(sql, (*key, target, MessageActionKind.RECALL)).fetchone() is not None


def apply_waiting(connection: sqlite3.Connection, key: ConversationKey, seqs: Sequence[int]) -> None:
    """Apply the actions that were stored until the rows of their messages arrived."""
    for seq in seqs:
        rows = connection.execute("DELETE FROM acts WHERE type=? AND peer=? AND target=? RETURNING act", (*key, seq)).fetchall()
        for (packed,) in rows:
            apply(connection, key, _action_decoder.decode(packed), "", waited=True)


def forget_seqs(connection: sqlite3.Connection) -> None:
    """Forget the seqs of actions, because the server has another epoch. Old states are used until newer ones arrive."""
    connection.execute("DELETE FROM acts")
    connection.execute("DELETE FROM receipts")
    connection.execute("DELETE FROM deleted")
    connection.execute("DELETE FROM own_deleted")
    connection.execute("DELETE FROM erased")
    for local_id, packed in connection.execute("SELECT local_id, state FROM messages WHERE state IS NOT NULL").fetchall():
        state = state_of(packed)
        without_seqs = replace(state, recall_seq=min(state.recall_seq, 1), edit_seq=min(state.edit_seq, 1), react_seq=0)
        connection.execute("UPDATE messages SET state=? WHERE local_id=?", (packed_state(without_seqs), local_id))

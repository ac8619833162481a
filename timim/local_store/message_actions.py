"""Acts in the local store: what they make of the rows that are held, and what waits for rows that are not.

Order does not matter: of each kind of act the one with the highest seq counts, whether it comes before its message, after
it, or within it. What this device put on a row (marks, custom fields, read flags) stays.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from ..ids import SERVER_MSG_ID, ConversationKey, ConversationType
from ..message import MessageState
from ..protocol.coverage import Coverage
from ..protocol.entries import MessageActionKind

COUNTS = (  # what can be unread of the rows m of a conversation: neither what is deleted here, nor recalled, nor a group's tip
    "NOT m.is_self AND m.status<>4 AND m.seq IS NOT NULL AND NOT m.quiet"
    f" AND NOT (m.type={ConversationType.GROUP.value} AND m.msg_id='{SERVER_MSG_ID}')"
)
_encode = msgspec.json.Encoder().encode
_state_decoder = msgspec.json.Decoder(MessageState)
_NO_BODY = b"[]"


@dataclass(frozen=True, slots=True)
class IncomingAction:
    """An act's entry, as it was received. `calls_me`: the message that it recalls had mentioned this account."""

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


@dataclass(frozen=True, slots=True)
class ServerUnreadCount:
    """What the server counted: unread messages, those of them that mention this account, up to which seq."""

    unread: int
    mentioned: int
    seq: int


class UnreadCounts(NamedTuple):
    """How many messages of a conversation are unread, and how many of these mention this account."""

    unread: int
    mentioned: int


_act_decoder = msgspec.json.Decoder(IncomingAction)


def state_of(packed: bytes | None) -> MessageState:
    """A row's state."""
    return _state_decoder.decode(packed) if packed else MessageState()


def packed_state(state: MessageState) -> bytes | None:
    """A state as its row keeps it; nothing for a message on which nobody acted."""
    return _encode(state) if state != MessageState() else None


def merged(one: MessageState, other: MessageState) -> MessageState:
    """Of each kind of act the later one. A recalled message has no reactions."""
    if other.recall_seq > one.recall_seq:
        one = replace(one, recall_seq=other.recall_seq, recaller=other.recaller, recalled_at=other.recalled_at)
    if other.edit_seq > one.edit_seq:
        one = replace(one, edit_seq=other.edit_seq, editor=other.editor, edited_at=other.edited_at, version=other.version)
    if other.react_seq > one.react_seq:
        one = replace(one, react_seq=other.react_seq, reactions=other.reactions)
    return replace(one, reactions={}) if one.recall_seq and one.reactions else one


def write_message(
    connection: sqlite3.Connection, local_id: int, told: MessageState, body: bytes, cloud_custom_data: str
) -> bool:
    """A state and a body that belong together, onto a row which may know later ones. True if the row is another now."""
    row = connection.execute("SELECT state, body, cloud_custom_data FROM messages WHERE local_id=?", (local_id,)).fetchone()
    held = state_of(row[0])
    state = merged(held, told)
    if told.edit_seq < held.edit_seq:
        body, cloud_custom_data = row[1], row[2]
    if state.recall_seq:
        body, cloud_custom_data = _NO_BODY, ""
    connection.execute(
        "UPDATE messages SET state=?, body=?, cloud_custom_data=?, quiet=? WHERE local_id=?",
        (packed_state(state), body, cloud_custom_data, int(bool(state.recall_seq)), local_id),
    )
    return state != held


def apply(connection: sqlite3.Connection, key: ConversationKey, act: IncomingAction) -> int | None:
    """Make its message what it is after the act; the row's local_id, None when it is not held: then the act waits."""
    row = connection.execute(
        "SELECT local_id, body, cloud_custom_data FROM messages WHERE type=? AND peer=? AND seq=?", (*key, act.target)
    ).fetchone()
    if row is None:
        connection.execute(
            "INSERT INTO acts VALUES(?,?,?,?,?,?) ON CONFLICT DO UPDATE SET seq=excluded.seq, act=excluded.act"
            " WHERE excluded.seq>acts.seq",
            (*key, act.target, act.kind, act.seq, _encode(act)),
        )
        return None
    local_id, body, cloud = row
    match act.kind:
        case MessageActionKind.RECALL:
            told = MessageState(recall_seq=act.seq, recaller=act.operator, recalled_at=act.time)
        case MessageActionKind.EDIT:
            told = MessageState(edit_seq=act.seq, editor=act.operator, edited_at=act.time, version=act.version)
            body, cloud = act.body.encode(), act.cloud_custom_data
        case MessageActionKind.REACT:
            told = MessageState(react_seq=act.seq, reactions=dict(act.reactions))
        case _:
            return None  # of a later version
    if act.kind == MessageActionKind.EDIT:
        write_message(connection, local_id, told, body, cloud)
    else:
        held = state_of(connection.execute("SELECT state FROM messages WHERE local_id=?", (local_id,)).fetchone()[0])
        write_message(connection, local_id, merged(held, told), body, cloud)
    return int(local_id)


def apply_waiting(connection: sqlite3.Connection, key: ConversationKey, seqs: Sequence[int]) -> None:
    """These messages are held now: what waited for them is applied."""
    for seq in seqs:
        rows = connection.execute("DELETE FROM acts WHERE type=? AND peer=? AND target=? RETURNING act", (*key, seq)).fetchall()
        for (packed,) in rows:
            apply(connection, key, _act_decoder.decode(packed))


def recounted(connection: sqlite3.Connection, key: ConversationKey, act: IncomingAction, user_id: str) -> None:
    """A message was taken back that the server had counted as unread."""
    if act.kind != MessageActionKind.RECALL or act.target_from == user_id:
        return
    connection.execute(
        "UPDATE conversations SET base_unread=max(0, base_unread-1), base_mentioned=max(0, base_mentioned-?)"
        " WHERE type=? AND peer=? AND read_seq<? AND base_seq>=? AND base_seq<?",
        (int(act.calls_me), *key, act.target, act.target, act.seq),
    )


def set_base(connection: sqlite3.Connection, key: ConversationKey, count: ServerUnreadCount) -> None:
    """What the server counted: it holds as long as rows are missing here."""
    connection.execute(
        "UPDATE conversations SET base_unread=?, base_mentioned=?, base_seq=? WHERE type=? AND peer=? AND base_seq<=?",
        (count.unread, count.mentioned, count.seq, *key, count.seq),
    )


def unread_of(connection: sqlite3.Connection, key: ConversationKey) -> UnreadCounts:
    """How many messages are unread, and how many of these mention this account.

    By the rows, where all above the read seq are held; else what the server counted, and the rows above that.
    """
    row = connection.execute(
        "SELECT coverage, read_seq, max(last_seq, base_seq), floor, base_unread, base_mentioned, base_seq FROM conversations"
        " WHERE type=? AND peer=?",
        tuple(key),
    ).fetchone()
    if row is None:
        return UnreadCounts(0, 0)
    held, read_seq, last_seq, floor, unread, mentioned, base_seq = row
    after = base_seq
    if read_seq >= base_seq or Coverage(json.loads(held)).covers(max(read_seq + 1, floor), last_seq):
        after, unread, mentioned = read_seq, 0, 0
    counted, calls = connection.execute(
        f"SELECT count(*), coalesce(sum(m.calls), 0) FROM messages m WHERE m.type=? AND m.peer=? AND m.position>? AND {COUNTS}",
        (*key, after),
    ).fetchone()
    return UnreadCounts(unread + counted, mentioned + calls)


def forget_seqs(connection: sqlite3.Connection) -> None:
    """The server is of another epoch: what acts made of the rows stays, until the server says otherwise."""
    connection.execute("DELETE FROM acts")
    connection.execute("DELETE FROM receipts")
    for local_id, packed in connection.execute("SELECT local_id, state FROM messages WHERE state IS NOT NULL").fetchall():
        state = state_of(packed)
        told = replace(state, recall_seq=min(state.recall_seq, 1), edit_seq=min(state.edit_seq, 1), react_seq=0)
        connection.execute("UPDATE messages SET state=? WHERE local_id=?", (packed_state(told), local_id))

"""Conversion of message rows to `Message` objects. Elems are decoded on first access."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec

from ..errors import InvalidArgument
from ..ids import SERVER_MSG_ID, ConversationKey, ConversationType
from ..message import NO_STATE, Message, MessageStatus, Priority, SenderMember, SenderProfile
from ..protocol.elems import decode_body, decode_own_body
from ..protocol.merger import blank_message
from . import message_actions, unread
from .checksums import require_body, require_header
from .requests import unpack_requests
from .types import MessageRow, RowPosition

_FIELDS = (
    "m.local_id, m.type, m.peer, m.seq, m.msg_id, m.sender, m.timestamp, m.status, m.is_self, m.priority, m.body,"
    " m.cloud_custom_data, m.profile, m.member, m.custom_int, m.custom_data, m.unsent,"
    " m.state, m.mentions, m.receipt, m.quiet, m.checksum, m.header_checksum"
)
_OF_CONVERSATION = "coalesce((SELECT {} FROM conversations c WHERE c.type=m.type AND c.peer=m.peer), 0)"
_OF_RECEIPT = (
    "CASE WHEN m.receipt & 1 THEN (SELECT {} FROM receipts r WHERE r.type=m.type AND r.peer=m.peer AND r.seq=m.seq) END"
)
SELECT = (
    f"SELECT {_FIELDS}, {_OF_RECEIPT.format('r.readers')}, {_OF_RECEIPT.format('r.others')},"
    f" CASE WHEN m.is_self AND m.type=1 THEN {_OF_CONVERSATION.format('peer_read_seq')} ELSE 0 END,"
    f" {_OF_CONVERSATION.format('max(read_seq, cleared_seq)')} FROM messages m"
)
_INDEXED_ID = "CASE WHEN {0} GLOB '0-*' THEN {0} ELSE CAST({0} AS INTEGER) END"  # the expression of the index: see migration 12
# the plus keeps SQLite from writing the id into the expression, which would no longer be that of the index
HAS_MSG_ID = f"+m.msg_id={{0}} AND {_INDEXED_ID.format('m.msg_id')}={_INDEXED_ID} AND m.msg_id<>'{SERVER_MSG_ID}'"
WITH_MSG_ID = (
    f"INDEXED BY messages_msg_id JOIN (SELECT ? AS msg_id) given WHERE {HAS_MSG_ID.format('given.msg_id')}"
    " AND (? IS NULL OR (m.type, m.peer)=(?, ?)) LIMIT 2"
)
WITH_UNIQUE_ID = (  # each conversation is looked up in the index of its seqs: the cross join fixes the order of the tables
    "WHERE m.local_id IN (SELECT s.local_id FROM conversations k CROSS JOIN messages s ON s.type=k.type AND s.peer=k.peer"
    " WHERE s.seq=? AND instr(s.msg_id, ?) AND (? IS NULL OR (k.type, k.peer)=(?, ?)))"
)
ITS_ROW = "local_id=? AND msg_id=?"  # a deleted row's local_id is used again, and a Message object may outlive its row
TYPES = {type.value: type for type in ConversationType}
KEYS = 1024  # keys of conversations in the cache
_PRIORITIES = {priority.value: priority for priority in Priority}
STATUSES = {status.value: status for status in MessageStatus}
_pack = msgspec.json.Encoder().encode
_unpack_profile = msgspec.json.Decoder(SenderProfile).decode
_unpack_member = msgspec.json.Decoder(SenderMember).decode


def new_message(key: ConversationKey, item: MessageRow, local_id: int, read_seq: int) -> Message:
    """Return the `Message` of a row that was just inserted, without a query."""
    message = blank_message()
    message._cloud_custom_data = item.cloud_custom_data
    message.load_body(item.body, decode_body)
    message._key, message._local_id = key, local_id
    message._seq, message._msg_id, message._sender = item.seq, item.msg_id, item.sender
    message._timestamp, message._status = item.timestamp, MessageStatus.SUCCEEDED
    message._is_self = item.is_self
    message._is_read = item.is_self or item.seq <= read_seq
    message._priority = _PRIORITIES.get(item.priority, Priority.NORMAL)
    message._sender_profile, message._sender_member = item.profile, item.member
    message._state = item.state or NO_STATE
    message._mentions = item.mentions
    if item.requests:
        unpack_requests(message, item.requests)
    if item.quiet:
        _set_excluded(message, item.quiet)
    return message


def _set_excluded(message: Message, quiet: int) -> None:
    message._excluded_from_unread = bool(quiet & unread.NO_UNREAD)
    message._excluded_from_last_message = bool(quiet & unread.NO_LAST)


@lru_cache(maxsize=KEYS)
def _key(type: int, peer: str) -> ConversationKey:
    """Return one object for all messages of a conversation."""
    return ConversationKey(TYPES[type], peer)


def message_of(row: tuple[Any, ...]) -> Message:
    """Return the `Message` of a row of SELECT; its elems are decoded on first access."""
    (
        local_id,
        type,
        peer,
        seq,
        msg_id,
        sender,
        timestamp,
        status,
        is_self,
        priority,
        body,
        cloud,
        profile,
        member,
        custom_int,
        custom_data,
        unsent,
        state,
        mentions,
        receipt,
        quiet,
        checksum,
        header_checksum,
        readers,
        others,
        peer_read_seq,
        read_seq,
    ) = row
    require_body(checksum, body)
    require_header(header_checksum, sender, timestamp, is_self, cloud)
    message = blank_message()
    message._cloud_custom_data = cloud
    message.load_body(body, decode_own_body if unsent else decode_body)
    message._key = _key(type, peer)
    message._local_id, message._seq, message._msg_id, message._sender = local_id, seq or 0, msg_id, sender
    message._timestamp, message._status = timestamp, STATUSES[status]
    message._is_self = bool(is_self)
    message._is_read = message.is_self or (seq or 0) <= read_seq
    message._priority = _PRIORITIES.get(priority, Priority.NORMAL)
    message._sender_profile = _unpack_profile(profile) if profile else None
    message._sender_member = _unpack_member(member) if member else None
    message._custom_int, message._custom_data = custom_int, bytes(custom_data)
    message._state = message_actions.state_of(state) if state else NO_STATE
    message._mentions = tuple(json.loads(mentions)) if mentions else ()
    message._read_by_peer = 0 < (seq or 0) <= peer_read_seq
    if quiet:
        _set_excluded(message, quiet)
    if receipt:
        unpack_requests(message, receipt)
        message._read_receipt_count, message._unread_receipt_count = readers or 0, others or 0
        message._read_by_peer = message._read_by_peer or (type == ConversationType.C2C.value and bool(readers))
    return message


def last_of(connection: sqlite3.Connection, key: ConversationKey, *, deleted: bool = False) -> Message | None:
    """Return the last message of a conversation; if `deleted`, also one that is marked as deleted."""
    order = "ORDER BY m.position DESC, m.local_id DESC LIMIT 1"
    sql = f"{SELECT} WHERE m.type=? AND m.peer=? AND (? OR m.status<>4) AND NOT m.quiet&{unread.NO_LAST} {order}"
    row = connection.execute(sql, (*key, deleted)).fetchone()
    return message_of(row) if row is not None else None


def packed_mentions(mentions: Sequence[str]) -> str:
    """Encode mentions for their column."""
    return json.dumps(mentions) if mentions else ""


def packed(sender: SenderProfile | SenderMember | None) -> bytes | None:
    """Encode a sender's profile or group membership for its column."""
    return _pack(sender) if sender is not None else None


def ids_of(message: Message) -> tuple[int, str]:
    """Return the two ids that the SQL condition ITS_ROW compares."""
    return message.local_id, message.msg_id


def position_of(connection: sqlite3.Connection, key: ConversationKey, at: Message | int) -> RowPosition:
    """Return the position of a message, or of a seq. Raises InvalidArgument for a message that is not stored."""
    seq = at if isinstance(at, int) else at.seq
    sql = "SELECT position, local_id FROM messages WHERE type=? AND peer=? AND "
    if isinstance(at, int) or seq:
        row = connection.execute(sql + "seq=?", (*key, seq)).fetchone()
        return RowPosition(*row) if row is not None else RowPosition(seq, 0)
    row = connection.execute(sql + ITS_ROW, (*key, *ids_of(at))).fetchone()
    if row is None:
        raise InvalidArgument("the message is not stored on this device")
    return RowPosition(*row)

"""Decoding of received entries to rows of the local store: messages and message actions. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import msgspec

from ..ids import ConversationKey, format_msg_id
from ..message import ALL, Message, MessageState, MessageStatus, Priority, SenderMember, SenderProfile
from ..protocol.elems import decode_body
from ..protocol.entries import Entry, EntryAction, EntryState, MentionItem, MessageControl, Reaction
from ..storage import EXTENSIBLE, NO_LAST, NO_UNREAD, RECEIPT, IncomingAction, MessageRow

NORMAL = Priority.NORMAL.value
SENDERS = 1024  # profiles and memberships in the cache


def partition(entries: Iterable[Entry], user_id: str) -> tuple[list[MessageRow], list[IncomingAction]]:
    """Decode entries to messages and message actions; tombstones are skipped."""
    messages: list[MessageRow] = []
    actions: list[IncomingAction] = []
    for entry in entries:
        if entry.tombstone:
            continue
        action = decode_action(entry, user_id) if entry.action is not msgspec.UNSET else None  # most entries save a call
        if action is None:
            messages.append(decode_message(entry, user_id))
        else:
            actions.append(action)
    return messages, actions


def decode_message(entry: Entry, user_id: str) -> MessageRow:
    """Decode the entry of a message to its row."""
    group = None if entry.group is msgspec.UNSET else entry.group
    sender = entry.from_account
    nick, face_url = entry.nick or (group.nick if group else ""), entry.face_url or (group.face_url if group else "")
    profile = SenderProfile(sender, nick, face_url, dict(entry.custom)) if entry.custom else _profile(sender, nick, face_url)
    member = None
    if group is not None:
        card, role, custom = group.name_card, group.role, group.member_custom
        member = SenderMember(sender, card, role, dict(custom)) if custom else _member(sender, card, role)
    mentions = _mentions(entry.mentions) if entry.mentions else ()
    return MessageRow(
        entry.timeline_seq,
        format_msg_id(entry.client_time, entry.msg_random, entry.source),
        sender,
        entry.msg_time,
        sender == user_id,
        bytes(entry.msg_body),
        entry.priority or NORMAL,
        entry.cloud_custom_data,
        profile,
        member,
        _state(entry.state) if entry.state is not msgspec.UNSET else None,
        mentions,
        calls=bool(mentions) and _calls(mentions, user_id),
        requests=RECEIPT * (entry.receipt != 0 or entry.c2c_receipt != 0) | EXTENSIBLE * (entry.extensible != 0),
        quiet=_quiet(entry.control) if entry.control is not msgspec.UNSET else 0,
        expired=entry.expired != 0,
    )


def _quiet(control: MessageControl | msgspec.UnsetType) -> int:
    if isinstance(control, msgspec.UnsetType):
        return 0
    return NO_UNREAD * bool(control.no_unread) | NO_LAST * bool(control.no_last)


@lru_cache(maxsize=SENDERS)
def _profile(sender: str, nick: str, face_url: str) -> SenderProfile:
    """Return one object for all messages with the same sender profile."""
    return SenderProfile(sender, nick, face_url)


@lru_cache(maxsize=SENDERS)
def _member(sender: str, card: str, role: str) -> SenderMember:
    return SenderMember(sender, card, role)


def decode_action(entry: Entry, user_id: str) -> IncomingAction | None:
    """Decode the entry of a message action; return None for any other entry."""
    action = entry.action
    if not isinstance(action, EntryAction):
        return None
    return IncomingAction(
        seq=entry.timeline_seq,
        kind=action.kind,
        target=action.target,
        target_from=action.target_from,
        operator=entry.from_account,
        time=entry.msg_time,
        body=bytes(entry.msg_body).decode(errors="replace"),
        cloud_custom_data=entry.cloud_custom_data,
        reaction=action.reaction,
        removed=bool(action.removed),
        reactions=_reactions(action.reactions),
        version=action.version,
        calls_me=_calls(_mentions(entry.mentions), user_id),
    )


def decode_online_message(key: ConversationKey, entry: Entry, user_id: str) -> Message:
    """Decode an online message, which has no seq and no row."""
    row = decode_message(entry, user_id)
    message = Message(*decode_body(row.body))
    message._cloud_custom_data = row.cloud_custom_data
    message._key = key
    message._status = MessageStatus.SUCCEEDED
    message._msg_id, message._sender, message._timestamp = row.msg_id, row.sender, row.timestamp
    message._sender_profile, message._sender_member = row.profile, row.member
    message._is_self = row.is_self
    return message


def _state(state: EntryState) -> MessageState:
    return MessageState(
        state.recall_seq,
        state.recaller,
        state.recalled_at,
        state.edit_seq,
        state.editor,
        state.edited_at,
        state.version,
        state.react_seq,
        _reactions(state.reactions),
    )


def _reactions(reactions: list[Reaction]) -> dict[str, tuple[str, ...]]:
    return {one.reaction: tuple(one.users) for one in reactions}


def _mentions(items: Sequence[MentionItem]) -> tuple[str, ...]:
    return tuple(ALL if item.all_flag else item.account for item in items)


def _calls(mentions: tuple[str, ...], user_id: str) -> bool:
    return user_id in mentions or ALL in mentions

"""Message actions in SQL: the entry of an action and the change of its message are written in one transaction.

An action that changes nothing is not stored as an entry. The same msg_key always means the same action.
"""

from __future__ import annotations

from functools import partial

import msgspec
from msgspec.structs import replace

from ...errors import AlreadyRecalled, LimitReached, UnknownMessage
from ...protocol.entries import (
    C2C_RECALLED,
    PLACEHOLDER_RECALLED,
    EntryAction,
    EntryPayload,
    EntryState,
    MessageActionKind,
    Reaction,
    RevokerInfo,
    decode_payload,
    encode_payload,
)
from . import callbacks, media, timelines, versions
from .entries import ACTION, RECALLED_KINDS, Appended, NewAction, NewEntry, StoredAction, StoredEntry, stored_entry
from .operation import Execute, Operation, SqlEngine, first_row


class MessageActionStore:
    """Actions on stored messages: recalls, edits, reactions. Every method may raise StorageError."""

    def __init__(self, engine: SqlEngine) -> None:
        self._engine = engine

    async def apply(self, action: NewAction) -> StoredAction:
        """Store an action and change its message in the same transaction.

        Raises:
            StaleRead: A version of `checks` is no longer the current one.
            UnknownMessage: The timeline has no message with this seq.
            AlreadyRecalled: The message was recalled, so it cannot be edited or reacted to.
            LimitReached: The message has too many reactions, or too many users for one reaction.
            MsgIdConflict: The msg_id is used by another message or action.
        """
        return await self._engine.submit(partial(apply, action))

    async def between(self, timeline: str, first: int, last: int, limit: int) -> list[StoredEntry]:
        """Return the oldest `limit` actions of an interval, oldest first."""
        return await self._engine.read(partial(actions_between, timeline, first, last, limit))


def actions_between(timeline: str, first: int, last: int, limit: int) -> Operation[list[StoredEntry]]:
    """Select the actions of an interval, oldest first."""
    where = " AND e.kind=1 AND e.seq BETWEEN ? AND ? ORDER BY e.seq LIMIT ?"
    rows = yield Execute(timelines.ENTRY_QUERY + where, (timeline, first, last, limit))
    return [stored_entry(*row) for row in rows]


def apply(action: NewAction) -> Operation[StoredAction]:
    """Store an action. Raises UnknownMessage, AlreadyRecalled, LimitReached, MsgIdConflict."""
    facts = action.tail.action
    assert isinstance(facts, EntryAction)
    yield from versions.require_current(action.checks)
    # lock the timeline until the commit, so that no other action changes the message after it was read below
    line = yield from first_row("UPDATE timelines SET act_seq=act_seq WHERE name=? RETURNING id", action.timeline)
    target = yield from timelines.entry_at(action.timeline, facts.target)
    if line is None or target is None or target.kind == ACTION:
        raise UnknownMessage(f"message {facts.target} does not exist in this conversation")
    entry = NewEntry(action.timeline, action.sender, action.msg_key, action.fingerprint, b"", action.time, kind=ACTION)
    if action.msg_key is not None and (before := (yield from timelines.find_existing(entry))) is not None:
        return (yield from _existing(action, before.seq, target))
    tail = decode_payload(target.tail)
    state = tail.state if isinstance(tail.state, EntryState) else EntryState()
    match facts.kind:
        case MessageActionKind.RECALL:
            if state.recall_seq:
                return (yield from _existing(action, state.recall_seq, target))
        case _ if state.recall_seq:
            raise AlreadyRecalled(f"message {facts.target} was recalled")
        case MessageActionKind.EDIT:
            if (bytes(tail.msg_body), tail.cloud_custom_data) == (bytes(action.tail.msg_body), action.tail.cloud_custom_data):
                return (yield from _existing(action, state.edit_seq, target))
            facts.version = state.version + 1
        case _:
            reactions = _reacted(state, facts, action)
            if reactions is None:
                return (yield from _existing(action, state.react_seq, target))
            facts.reactions = reactions
    action.tail.audience = tail.audience
    done = yield from timelines.append(replace(entry, tail=encode_payload(action.tail)))
    _change(tail, state, action, done)
    kind = RECALLED_KINDS.get(target.kind, target.kind) if facts.kind == MessageActionKind.RECALL else target.kind
    changed = StoredEntry(target.seq, target.time, encode_payload(tail), kind)
    yield Execute(
        "UPDATE entries SET tail=?, kind=? WHERE timeline=(SELECT id FROM timelines WHERE name=?) AND seq=?",
        (changed.tail, kind, action.timeline, target.seq),
    )
    yield Execute("UPDATE timelines SET act_seq=? WHERE name=?", (done.seq, action.timeline))
    yield from callbacks.insert(action.callbacks)
    if facts.kind != MessageActionKind.REACT:  # the message gives no access any more to the content of its former body
        yield Execute("DELETE FROM media_refs WHERE timeline=? AND seq=?", (line[0], target.seq))
        yield from media.refer(action.sender, line[0], target.seq, action.media, action.time)
        for user in tail.audience if action.media else ():
            yield from media.grant(action.sender, user, action.media, action.time)
    return StoredAction(done.seq, done.time, encode_payload(action.tail), True, changed)


def _existing(action: NewAction, seq: int, target: StoredEntry) -> Operation[StoredAction]:
    """Return the earlier action that had the same effect, or an action with seq 0 if there was none."""
    entry = (yield from timelines.entry_at(action.timeline, seq)) if seq else None
    return StoredAction(seq, entry.time if entry else 0, entry.tail if entry else b"", False, target)


def _reacted(state: EntryState, facts: EntryAction, action: NewAction) -> list[Reaction] | None:
    """Return all reactions of the message after this action, or None if the action changes nothing."""
    known = {one.reaction: list(one.users) for one in state.reactions}
    users = known.setdefault(facts.reaction, [])
    if (action.sender in users) is not bool(facts.removed):
        return None
    if facts.removed:
        users.remove(action.sender)
    elif len(users) >= action.reacting_limit:
        raise LimitReached(f"at most {action.reacting_limit} users can add the same reaction to a message", code=10014)
    else:
        users.append(action.sender)
    reactions = [Reaction(reaction=name, users=users) for name, users in known.items() if users]
    if len(reactions) > action.reactions_limit:
        raise LimitReached(f"a message can have at most {action.reactions_limit} different reactions", code=10014)
    return reactions


def _change(tail: EntryPayload, state: EntryState, action: NewAction, done: Appended) -> None:
    """Apply the action to the payload of its message."""
    facts = action.tail.action
    assert isinstance(facts, EntryAction)
    tail.state = state
    match facts.kind:
        case MessageActionKind.RECALL:
            tail.state = EntryState(recall_seq=done.seq, recaller=action.sender, recalled_at=done.time)
            tail.msg_body, tail.cloud_custom_data, tail.mentions = msgspec.Raw(b"[]"), "", []
            tail.revoker = RevokerInfo(revoker=action.sender)
            if tail.to_group_id:
                tail.placeholder = PLACEHOLDER_RECALLED
            else:
                tail.msg_flag_bits = C2C_RECALLED
        case MessageActionKind.EDIT:
            state.edit_seq, state.editor, state.edited_at = done.seq, action.sender, done.time
            state.version = tail.version = facts.version
            tail.msg_body, tail.cloud_custom_data = action.tail.msg_body, action.tail.cloud_custom_data
        case _:
            state.react_seq, state.reactions = done.seq, facts.reactions

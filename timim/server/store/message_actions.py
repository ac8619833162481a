"""Acts on messages, in SQL: an act's entry and what it makes of its message are written in one transaction.

An act that changes nothing is no entry; the same msg_key is the same act for ever.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from ...errors import AlreadyRecalled, LimitReached, UnknownMessage
from ...protocol.entries import (
    C2C_RECALLED,
    PLACEHOLDER_RECALLED,
    REACT,
    RECALL,
    EntryAction,
    EntryPayload,
    EntryState,
    Reaction,
    RevokerInfo,
    decode_payload,
    encode_payload,
)
from . import media, timelines
from .base import ACT, MESSAGE, RECALLED, Acted, Appended, NewAct, NewEntry, StoredEntry, TimelinePage
from .operation import Run, Steps, one

_ENTRY = "SELECT e.seq, e.time, e.tail, e.kind FROM entries e JOIN timelines t ON t.id=e.timeline WHERE t.name=?"


def message(timeline: str, seq: int) -> Steps[StoredEntry | None]:
    row = yield from one(f"{_ENTRY} AND e.seq=?", timeline, seq)
    return StoredEntry(*row) if row is not None else None


def between(timeline: str, first: int, last: int, limit: int) -> Steps[list[StoredEntry]]:
    """The acts of an interval, oldest first."""
    where = " AND e.kind=1 AND e.seq BETWEEN ? AND ? ORDER BY e.seq LIMIT ?"
    rows = yield Run(_ENTRY + where, (timeline, first, last, limit))
    return [StoredEntry(*row) for row in rows]


def messages_before(timeline: str, last: int, floor: int, limit: int) -> Steps[TimelinePage]:
    row = yield from one("SELECT last_seq, floor FROM timelines WHERE name=?", timeline)
    if row is None:
        return TimelinePage((), 1, 0, 1, 0)
    last_seq, floor = row[0], max(floor, row[1])
    last = min(last, last_seq)
    where = " AND e.kind<>1 AND e.seq BETWEEN ? AND ? ORDER BY e.seq DESC LIMIT ?"
    rows = yield Run(_ENTRY + where, (timeline, floor, last, limit))
    found = [StoredEntry(*row) for row in rows]
    return TimelinePage(found, found[-1].seq if len(found) == limit else min(floor, last + 1), last, floor, last_seq)


def carry_out(act: NewAct) -> Steps[Acted]:
    """Store an act. Raises UnknownMessage, AlreadyRecalled, LimitReached, MsgIdConflict."""
    facts = act.tail.action
    assert isinstance(facts, EntryAction)
    # nobody else acts here until this is committed: what is read below is what will be changed
    line = yield from one("UPDATE timelines SET act_seq=act_seq WHERE name=? RETURNING id", act.timeline)
    target = yield from message(act.timeline, facts.target)
    if line is None or target is None or target.kind == ACT:
        raise UnknownMessage(f"there is no message {facts.target} here")
    entry = NewEntry(act.timeline, act.sender, act.msg_key, act.fingerprint, b"", act.time, kind=ACT)
    if act.msg_key is not None and (before := (yield from timelines.standing(entry))) is not None:
        return (yield from _standing(act, before.seq, target))
    tail = decode_payload(target.tail)
    state = tail.state if isinstance(tail.state, EntryState) else EntryState()
    match facts.kind:
        case "recall":
            if state.recall_seq:
                return (yield from _standing(act, state.recall_seq, target))
        case _ if state.recall_seq:
            raise AlreadyRecalled(f"message {facts.target} was recalled")
        case "edit":
            if (bytes(tail.msg_body), tail.cloud_custom_data) == (bytes(act.tail.msg_body), act.tail.cloud_custom_data):
                return (yield from _standing(act, state.edit_seq, target))
            facts.version = state.version + 1
        case _:
            reactions = _reacted(state, facts, act)
            if reactions is None:
                return (yield from _standing(act, state.react_seq, target))
            facts.reactions = reactions
    done = yield from timelines.append(replace(entry, tail=encode_payload(act.tail)))
    _change(tail, state, act, done)
    kind = RECALLED if facts.kind == RECALL else MESSAGE
    changed = StoredEntry(target.seq, target.time, encode_payload(tail), kind)
    yield Run(
        "UPDATE entries SET tail=?, kind=? WHERE timeline=(SELECT id FROM timelines WHERE name=?) AND seq=?",
        (changed.tail, kind, act.timeline, target.seq),
    )
    yield Run("UPDATE timelines SET act_seq=? WHERE name=?", (done.seq, act.timeline))
    if facts.kind != REACT:  # what the message named before, nobody may read by it any more
        yield Run("DELETE FROM media_refs WHERE timeline=? AND seq=?", (line[0], target.seq))
        yield from media.refer(act.sender, line[0], target.seq, act.media, act.time)
    return Acted(done.seq, done.time, encode_payload(act.tail), True, changed)


def _standing(act: NewAct, seq: int, target: StoredEntry) -> Steps[Acted]:
    """The act that made the message what it is already; seq 0 when there was none."""
    entry = (yield from message(act.timeline, seq)) if seq else None
    return Acted(seq, entry.time if entry else 0, entry.tail if entry else b"", False, target)


def _reacted(state: EntryState, facts: EntryAction, act: NewAct) -> list[Reaction] | None:
    """All reactions after this one; None when it changes nothing."""
    known = {one.reaction: list(one.users) for one in state.reactions}
    users = known.setdefault(facts.reaction, [])
    if (act.sender in users) is not bool(facts.removed):
        return None
    if facts.removed:
        users.remove(act.sender)
    elif len(users) >= act.reacting_limit:
        raise LimitReached(f"{act.reacting_limit} users reacted with this already: that is the limit", code=10014)
    else:
        users.append(act.sender)
    reactions = [Reaction(reaction=name, users=users) for name, users in known.items() if users]
    if len(reactions) > act.reactions_limit:
        raise LimitReached(f"a message has at most {act.reactions_limit} different reactions", code=10014)
    return reactions


def _change(tail: EntryPayload, state: EntryState, act: NewAct, done: Appended) -> None:
    """Make the message what it is after the act."""
    facts = act.tail.action
    assert isinstance(facts, EntryAction)
    tail.state = state
    match facts.kind:
        case "recall":
            tail.state = EntryState(recall_seq=done.seq, recaller=act.sender, recalled_at=done.time)
            tail.msg_body, tail.cloud_custom_data, tail.mentions = msgspec.Raw(b"[]"), "", []
            tail.revoker = RevokerInfo(revoker=act.sender)
            if tail.to_group_id:
                tail.placeholder = PLACEHOLDER_RECALLED
            else:
                tail.msg_flag_bits = C2C_RECALLED
        case "edit":
            state.edit_seq, state.editor, state.edited_at = done.seq, act.sender, done.time
            state.version = tail.version = facts.version
            tail.msg_body, tail.cloud_custom_data = act.tail.msg_body, act.tail.cloud_custom_data
        case _:
            state.react_seq, state.reactions = done.seq, facts.reactions

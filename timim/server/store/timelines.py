"""Timelines in SQL: what appends to them, and what reads them. An entry's seq is taken in the transaction that stores it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from ...errors import MsgIdConflict
from ...util.failpoints import failpoint
from . import accounts_and_groups, conversations, media
from .base import Appended, Change, Decided, NewEntry, StoredEntry, TimelinePage
from .operation import Run, RunMany, Steps, one

_LIST = "INSERT INTO contacts(user_id, timeline) VALUES(?,?) ON CONFLICT(user_id, timeline) DO NOTHING"
_INSERT_ENTRY = "INSERT INTO entries(timeline, seq, time, sender, tail, kind) VALUES(?,?,?,?,?,?)"
_INSERT_KEY = "INSERT INTO msg_keys VALUES(?,?,?,?,?,?) ON CONFLICT(timeline, sender, client_time, random) DO NOTHING"
SAME_SECOND_PAGE = 50  # entries read at once while looking for a MsgKey among those of one second


def apply(changes: Sequence[Change], entries: Sequence[NewEntry], decided: Decided) -> Steps[list[Appended]]:
    """Changes, then entries. Raises GroupExists, MsgIdConflict, Stale."""
    yield from accounts_and_groups.demand(decided)
    for change in changes:
        yield from accounts_and_groups.carry_out(change)
    appended: list[Appended] = []
    for entry in entries:
        appended += [(yield from append(entry))]
    return appended


def append(entry: NewEntry) -> Steps[Appended]:
    """Number an entry and store it; where it stands already, nothing changes. Raises MsgIdConflict, InvalidElem."""
    rows = yield Run(
        "UPDATE timelines SET last_seq=last_seq+1, last_time=CASE WHEN last_time>? THEN last_time ELSE ? END"
        " WHERE name=? RETURNING id, last_seq, last_time",
        (entry.time, entry.time, entry.timeline),
    )
    if not rows:
        # another node may be making it at this moment: then this waits for it and counts on
        rows = yield Run(
            "INSERT INTO timelines(name, last_seq, last_time) VALUES(?,1,?) ON CONFLICT(name) DO UPDATE SET"
            " last_seq=timelines.last_seq+1, last_time=CASE WHEN timelines.last_time>excluded.last_time"
            " THEN timelines.last_time ELSE excluded.last_time END RETURNING id, last_seq, last_time",
            (entry.timeline, entry.time),
        )
    timeline, seq, time = rows[0]
    if entry.msg_key is not None:
        taken = yield Run(
            "INSERT INTO msg_keys VALUES(?,?,?,?,?,?) ON CONFLICT(timeline, sender, client_time, random) DO NOTHING"
            " RETURNING seq",
            (timeline, entry.sender, *entry.msg_key, seq, entry.fingerprint),
        )
        if not taken:
            # the number just taken is given back
            yield Run("UPDATE timelines SET last_seq=last_seq-1 WHERE id=?", (timeline,))
            known = yield from standing(entry)
            assert known is not None
            return known
    failpoint("before-insert")
    yield Run(
        "INSERT INTO entries(timeline, seq, time, sender, tail, kind) VALUES(?,?,?,?,?,?)",
        (timeline, seq, time, entry.sender, entry.tail, entry.kind),
    )
    failpoint("after-insert")
    if entry.media:
        yield from media.refer(entry.sender, timeline, seq, entry.media, entry.time)
    if entry.asks:
        yield from conversations.asked(timeline, seq, entry)
    if seq == 1 and entry.contacts:
        yield RunMany(_LIST, [(user, timeline) for user in sorted(entry.contacts)])
    return Appended(seq, time)


class _Place(NamedTuple):
    """Where an entry goes."""

    timeline: int
    seq: int
    time: int


def append_all(entries: Sequence[NewEntry]) -> Steps[list[Appended | MsgIdConflict]]:
    """The same for many that name no content and ask for nothing, in as few statements as their timelines allow.

    Where one of them stands already, or a timeline is new, they go one by one.
    """
    if len(entries) == 1:
        return (yield from one_by_one(entries))
    places = yield from _numbered(entries)
    if not (yield from _named(entries, places)):
        return (yield from one_by_one(entries))
    for _ in places:
        failpoint("before-insert")
    rows = [(*place, entries[n].sender, entries[n].tail, entries[n].kind) for n, place in places.items()]
    yield RunMany(_INSERT_ENTRY, rows)
    for _ in places:
        failpoint("after-insert")
    if listed := [(user, place.timeline) for n, place in places.items() if place.seq == 1 for user in entries[n].contacts]:
        yield RunMany(_LIST, sorted(listed))
    of_new = [n for n in range(len(entries)) if n not in places]
    others = dict(zip(of_new, (yield from one_by_one([entries[n] for n in of_new])), strict=True))
    return [Appended(places[n].seq, places[n].time) if n in places else others[n] for n in range(len(entries))]


def _numbered(entries: Sequence[NewEntry]) -> Steps[dict[int, _Place]]:
    """Number those of timelines that there are: by their index among the entries, in the order of each timeline."""
    lines: dict[str, list[int]] = {}
    for n, entry in enumerate(entries):
        lines.setdefault(entry.timeline, []).append(n)
    places: dict[int, _Place] = {}
    for name, numbers in lines.items():
        time = max(entries[n].time for n in numbers)
        row = yield from one(
            "UPDATE timelines SET last_seq=last_seq+?, last_time=CASE WHEN last_time>? THEN last_time ELSE ? END"
            " WHERE name=? RETURNING id, last_seq, last_time",
            len(numbers),
            time,
            time,
            name,
        )
        if row is not None:
            timeline, last_seq, last_time = row
            for seq, n in enumerate(numbers, last_seq - len(numbers) + 1):
                places[n] = _Place(timeline, seq, last_time)
    return places


def _named(entries: Sequence[NewEntry], places: dict[int, _Place]) -> Steps[bool]:
    """Keep their msg_ids; False when one stands already: then nothing is kept, and the numbers are given back."""
    keys: list[tuple[Any, ...]] = []
    for n, place in places.items():
        if (key := entries[n].msg_key) is not None:
            keys.append((place.timeline, entries[n].sender, *key, place.seq, entries[n].fingerprint))
    ((kept,),) = yield RunMany(_INSERT_KEY, keys)
    if kept == len(keys):
        return True
    yield RunMany("UPDATE timelines SET last_seq=last_seq-1 WHERE id=?", [(place.timeline,) for place in places.values()])
    yield RunMany(
        "DELETE FROM msg_keys WHERE timeline=? AND sender=? AND client_time=? AND random=? AND seq=?",
        [key[:5] for key in keys],
    )
    return False


def one_by_one(entries: Sequence[NewEntry]) -> Steps[list[Appended | MsgIdConflict]]:
    """`append` each."""
    results: list[Appended | MsgIdConflict] = []
    for entry in entries:
        try:
            results.append((yield from append(entry)))
        except MsgIdConflict as exc:  # it has taken nothing, and the others stand
            results.append(exc)
    return results


def standing(entry: NewEntry) -> Steps[Appended | None]:
    """The entry that already has this msg_id. Raises MsgIdConflict."""
    row = yield from one(
        "SELECT k.seq, k.fingerprint, e.time FROM timelines t JOIN msg_keys k ON k.timeline=t.id"
        " JOIN entries e ON e.timeline=t.id AND e.seq=k.seq"
        " WHERE t.name=? AND k.sender=? AND k.client_time=? AND k.random=?",
        entry.timeline,
        entry.sender,
        *(entry.msg_key or ()),
    )
    if row is None:
        return None
    seq, fingerprint, time = row
    if entry.fingerprint and fingerprint != entry.fingerprint:
        raise conflict(entry)
    return Appended(seq, time, duplicate=True)


def conflict(entry: NewEntry) -> MsgIdConflict:
    """Its msg_id stands for another message."""
    return MsgIdConflict(f"msg_id {entry.msg_key} of {entry.sender} already stands for another message")


def page(timeline: str, first: int, last: int, limit: int) -> Steps[TimelinePage]:
    row = yield from one("SELECT id, last_seq, floor FROM timelines WHERE name=?", timeline)
    if row is None:
        return TimelinePage((), 1, 0, 1, 0)
    number, last_seq, floor = row
    last = min(last, last_seq)
    first = max(first, floor, last - limit + 1)
    rows = yield Run(
        "SELECT seq, time, tail, kind FROM entries WHERE timeline=? AND seq BETWEEN ? AND ? ORDER BY seq DESC",
        (number, first, last),
    )
    return TimelinePage([StoredEntry(*r) for r in rows], first, last, floor, last_seq)


def seq_before(timeline: str, time: int, msg_key: str) -> Steps[int]:
    row = yield from one("SELECT id, last_seq FROM timelines WHERE name=?", timeline)
    if row is None:
        return 0
    number, last_seq = row
    up_to = yield from _last_not_after(number, last_seq, time)
    # several messages may share a second: among these the MsgKey tells which one is meant
    while rows := (
        yield Run(
            "SELECT seq, time, tail FROM entries WHERE timeline=? AND seq<=? ORDER BY seq DESC LIMIT ?",
            (number, up_to, SAME_SECOND_PAGE if msg_key else 1),
        )
    ):
        for seq, at, tail in rows:
            if at < time or not msg_key:
                return int(seq)
            fields = json.loads(b"{" + tail)
            if f"{fields.get('MsgSeq', 0)}_{fields.get('MsgRandom', 0)}_{at}" == msg_key:
                return int(seq) - 1
        up_to = rows[-1][0] - 1
    return 0


def _last_not_after(timeline: int, last_seq: int, time: int) -> Steps[int]:
    """The last seq of this time or an earlier one, by halving: times never go back within a timeline."""
    low, high = 0, last_seq
    while low < high:
        middle = (low + high + 1) // 2
        row = yield from one(
            "SELECT seq, time FROM entries WHERE timeline=? AND seq<=? ORDER BY seq DESC LIMIT 1", timeline, middle
        )
        if row is None or row[1] <= time:
            low = middle
        else:
            high = row[0] - 1
    return low


def meta(key: str) -> Steps[str | None]:
    row = yield from one("SELECT value FROM meta WHERE key=?", key)
    return row[0] if row else None


def make_meta(key: str, default: str) -> Steps[str]:
    yield Run("INSERT INTO meta VALUES(?,?) ON CONFLICT(key) DO NOTHING", (key, default))
    return (yield from meta(key)) or default


def set_meta(key: str, value: str) -> Steps[None]:
    yield Run("INSERT INTO meta VALUES(?,?) ON CONFLICT(key) DO UPDATE SET value=excluded.value", (key, value))

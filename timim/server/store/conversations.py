"""What one user has of a conversation, in SQL: up to where it is read, by whom else, what is unread; pinned, muted, a draft.

Invariant: whatever changes here dates its row (`read_time`), so a device that was away is told of it at its next login.
"""

from __future__ import annotations

from collections.abc import Sequence

from .base import UNREAD_LIMIT, Contact, ContactChange, NewEntry, Read, Receipt, StoredEntry, Unread
from .operation import Run, RunMany, Steps, one

_LAST_MESSAGE = "(SELECT x.seq FROM entries x WHERE x.timeline=t.id AND x.kind<>1 ORDER BY x.seq DESC LIMIT 1)"
_UNREAD = "SELECT 1 FROM entries WHERE timeline=? AND seq>? AND kind=0 AND sender NOT IN (?, '') LIMIT ?"  # '': a tip
_MENTIONED = (
    "SELECT count(*) FROM (SELECT DISTINCT m.seq FROM mentions m JOIN entries e ON e.timeline=m.timeline AND e.seq=m.seq"
    " WHERE m.timeline=? AND m.user_id IN (?, '') AND m.seq>? AND e.kind=0 AND e.sender<>?) AS calls"
)
_WANTED = "SELECT t.name, w.seq, w.sender, w.readers FROM receipts_wanted w JOIN timelines t ON t.id=w.timeline"


def asked(timeline: int, seq: int, entry: NewEntry) -> Steps[None]:
    """Whom a new entry calls, and that its sender wants to know who reads it."""
    if entry.receipt:
        yield Run("INSERT INTO receipts_wanted(timeline, seq, sender) VALUES(?,?,?)", (timeline, seq, entry.sender))
    if entry.mentions:
        yield RunMany("INSERT INTO mentions VALUES(?,?,?)", [(timeline, user, seq) for user in entry.mentions])


def contacts(user: str, offset: int, limit: int, since: int) -> Steps[list[Contact]]:
    rows = yield Run(
        "SELECT t.name, t.last_seq, t.last_time, c.read_seq, c.floor, t.floor, e.seq, e.time, e.tail, e.kind,"
        " t.act_seq, c.peer_read_seq, c.pinned, c.muted, c.draft"
        " FROM contacts c JOIN timelines t ON t.id=c.timeline"
        f" LEFT JOIN entries e ON e.timeline=t.id AND e.seq={_LAST_MESSAGE}"
        " WHERE c.user_id=? AND (t.last_time>=? OR c.read_time>=?) ORDER BY t.last_time DESC, t.id DESC LIMIT ? OFFSET ?",
        (user, since, since, limit, offset),
    )
    found: list[Contact] = []
    for name, last_seq, time, read, own, all, seq, at, tail, kind, acts, peer_read, pinned, muted, draft in rows:
        last = StoredEntry(seq, at, tail, kind) if seq is not None else None
        found.append(Contact(name, last_seq, time, read, max(own, all), last, acts, peer_read, pinned, bool(muted), draft))
    return found


def unread(user: str, timelines: Sequence[str]) -> Steps[list[Unread]]:
    counts: list[Unread] = []
    for timeline in timelines:
        counts += [(yield from _unread(user, timeline))]
    return counts


def _unread(user: str, timeline: str) -> Steps[Unread]:
    row = yield from one(
        "SELECT t.id, c.read_seq, c.floor, t.last_seq FROM timelines t JOIN contacts c ON c.timeline=t.id"
        " WHERE t.name=? AND c.user_id=?",
        timeline,
        user,
    )
    if row is None:
        return Unread(0, 0, 0)
    number, read, floor, last_seq = row
    read = max(read, floor - 1)
    if read >= last_seq:
        return Unread(0, 0, last_seq)
    count = yield from one(f"SELECT count(*) FROM ({_UNREAD}) AS others", number, read, user, UNREAD_LIMIT)
    mentioned = yield from one(_MENTIONED, number, user, read, user)
    return Unread(count[0] if count else 0, mentioned[0] if mentioned else 0, last_seq)


def read_time(user: str, timeline: str) -> Steps[int]:
    row = yield from one(
        "SELECT e.time FROM timelines t JOIN contacts c ON c.timeline=t.id"
        " JOIN entries e ON e.timeline=t.id AND e.seq=c.read_seq"
        " WHERE t.name=? AND c.user_id=?",
        timeline,
        user,
    )
    return int(row[0]) if row else 0


def set_read(user: str, timeline: str, seq: int, time: int) -> Steps[Read]:
    row = yield from one(
        "SELECT t.id, t.last_seq, c.read_seq FROM timelines t JOIN contacts c ON c.timeline=t.id"
        " WHERE t.name=? AND c.user_id=?",
        timeline,
        user,
    )
    if row is None:
        return Read(0, Unread(0, 0, 0))
    number, last_seq, before = row
    risen = yield Run(
        "UPDATE contacts SET read_seq=?, read_time=? WHERE user_id=? AND timeline=? AND read_seq<? RETURNING read_seq",
        (min(seq, last_seq), time, user, number, min(seq, last_seq)),
    )
    if not risen:
        return Read(before, (yield from _unread(user, timeline)))
    seq = risen[0][0]
    receipts: list[Receipt] = []
    if timeline.startswith("c2c\x1f"):
        yield Run(
            "UPDATE contacts SET peer_read_seq=?, read_time=? WHERE timeline=? AND user_id<>? AND peer_read_seq<?",
            (seq, time, number, user, seq),
        )
    else:
        wanted = yield Run(
            "SELECT seq FROM receipts_wanted WHERE timeline=? AND seq>? AND seq<=? AND sender<>?",
            (number, before, seq, user),
        )
        for (at,) in wanted:
            receipts += yield from _receive(number, timeline, at, user, time)
    return Read(seq, (yield from _unread(user, timeline)), True, receipts)


def _receive(number: int, timeline: str, seq: int, user: str, time: int) -> Steps[list[Receipt]]:
    """This user has read a message whose sender wants to know: once."""
    new = yield Run(
        "INSERT INTO receipts VALUES(?,?,?,?) ON CONFLICT(timeline, seq, user_id) DO NOTHING RETURNING seq",
        (number, seq, user, time),
    )
    if not new:
        return []
    rows = yield Run(
        "UPDATE receipts_wanted SET readers=readers+1, changed=? WHERE timeline=? AND seq=? RETURNING sender, readers",
        (time, number, seq),
    )
    return [Receipt(timeline, seq, sender, readers) for sender, readers in rows]


def set_receipts(user: str, timeline: str, seqs: Sequence[int], time: int) -> Steps[list[Receipt]]:
    """This user has read just these messages, as far as their senders want to know."""
    found: list[Receipt] = []
    for seq in seqs:
        row = yield from one(
            "SELECT w.timeline FROM receipts_wanted w JOIN timelines t ON t.id=w.timeline"
            " WHERE t.name=? AND w.seq=? AND w.sender<>?",
            timeline,
            seq,
            user,
        )
        if row is not None:
            found += yield from _receive(row[0], timeline, seq, user, time)
    return found


def receipts_of(sender: str, since: int, limit: int) -> Steps[list[Receipt]]:
    """The receipts of a sender's messages that changed at `since` or later, the newest first."""
    where = " WHERE w.sender=? AND w.changed>=? AND w.changed>0 ORDER BY w.changed DESC LIMIT ?"
    rows = yield Run(_WANTED + where, (sender, since, limit))
    return [Receipt(*row) for row in rows]


def receipts(timeline: str, seqs: Sequence[int]) -> Steps[list[Receipt]]:
    """The receipts of these messages; none of those whose sender wants none."""
    found: list[Receipt] = []
    for seq in seqs:
        row = yield from one(f"{_WANTED} WHERE t.name=? AND w.seq=?", timeline, seq)
        if row is not None:
            found.append(Receipt(*row))
    return found


def readers(timeline: str, seq: int, offset: int, limit: int) -> Steps[list[tuple[str, int]]]:
    """Who has read a message, and when, in that order."""
    rows = yield Run(
        "SELECT r.user_id, r.time FROM receipts r JOIN timelines t ON t.id=r.timeline WHERE t.name=? AND r.seq=?"
        " ORDER BY r.time, r.user_id LIMIT ? OFFSET ?",
        (timeline, seq, limit, offset),
    )
    return [(user, time) for user, time in rows]


def change(user: str, timeline: str, wanted: ContactChange, time: int) -> Steps[Contact | None]:
    """Pin, mute, keep a draft; None when the user is not in that group."""
    if not timeline.startswith("group\x1f"):
        yield Run("INSERT INTO timelines(name) VALUES(?) ON CONFLICT(name) DO NOTHING", (timeline,))
        yield Run(
            "INSERT INTO contacts(user_id, timeline) SELECT ?, id FROM timelines WHERE name=?"
            " ON CONFLICT(user_id, timeline) DO NOTHING",
            (user, timeline),
        )
    row = yield from one(
        "SELECT c.timeline, c.read_seq, c.floor, c.peer_read_seq, c.pinned, c.muted, c.draft FROM contacts c"
        " JOIN timelines t ON t.id=c.timeline WHERE c.user_id=? AND t.name=?",
        user,
        timeline,
    )
    if row is None:
        return None
    number, read, floor, peer_read, pinned, muted, draft = row
    pinned = wanted.pinned if wanted.pinned is not None else pinned
    muted = int(wanted.muted) if wanted.muted is not None else muted
    draft = wanted.draft if wanted.draft is not None else draft
    columns = {"pinned": wanted.pinned, "muted": wanted.muted, "draft": wanted.draft}
    changed = {name: value if isinstance(value, str) else int(value) for name, value in columns.items() if value is not None}
    sets = "".join(f"{name}=?, " for name in changed)
    yield Run(f"UPDATE contacts SET {sets}read_time=? WHERE user_id=? AND timeline=?", (*changed.values(), time, user, number))
    return Contact(timeline, 0, 0, read, floor, None, 0, peer_read, pinned, bool(muted), draft)


def muted(user: str, timelines: Sequence[str]) -> Steps[list[bool]]:
    """Which of these the user has muted."""
    found: list[bool] = []
    for name in timelines:
        sql = "SELECT c.muted FROM contacts c JOIN timelines t ON t.id=c.timeline WHERE c.user_id=? AND t.name=?"
        row = yield from one(sql, user, name)
        found.append(bool(row and row[0]))
    return found


def muting(timeline: str, users: Sequence[str]) -> Steps[set[str]]:
    """Who of these has muted this one."""
    found: set[str] = set()
    for user in users:
        if (yield from muted(user, [timeline]))[0]:
            found.add(user)
    return found

"""Appending to timelines and reading them, in SQL. An entry gets its seq in the transaction that stores it."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from functools import partial
from typing import Any, NamedTuple

from ...errors import InvalidArgument, MsgIdConflict
from ...protocol.entries import msg_key_of, readable_payload
from ...util.failpoints import failpoint
from . import callbacks, media, receipts, versions
from .deletions import NOT_DELETED, NOT_DELETED_IN_PAGE, hide
from .entries import Appended, NewEntry, StoredEntry, TimelinePage, stored_entry
from .mutations import StaleRead
from .operation import Execute, ExecuteMany, Operation, SqlEngine, first_row

_LIST = "INSERT INTO contacts(user_id, timeline) VALUES(?,?) ON CONFLICT(user_id, timeline) DO NOTHING"
_INSERT_ENTRY = "INSERT INTO entries(timeline, seq, time, sender, tail, kind) VALUES(?,?,?,?,?,?)"
_INSERT_KEY = "INSERT INTO msg_keys VALUES(?,?,?,?,?,?) ON CONFLICT(timeline, sender, client_time, random) DO NOTHING"
# a server of an older version stores a msg_id without its source; a resend of the same content is recognised by the rest
_CLAIM_KEY = (
    "INSERT INTO msg_keys SELECT ?,?,?,?,?,? WHERE NOT EXISTS (SELECT 1 FROM msg_keys"
    " WHERE timeline=? AND sender=? AND client_time=? AND random=? AND fingerprint=?)"
    " ON CONFLICT(timeline, sender, client_time, random) DO NOTHING RETURNING seq"
)
_FORGET_KEY = (
    "DELETE FROM msg_keys WHERE timeline=? AND sender=? AND client_time=? AND random=?"
    " AND seq IN (SELECT seq FROM entries WHERE timeline=? AND time<?)"
)
ENTRY_QUERY = "SELECT e.seq, e.time, e.tail, e.kind FROM entries e JOIN timelines t ON t.id=e.timeline WHERE t.name=?"
_EXTENT = (  # the id, the last seq and the first seq that a user may see, of a timeline
    "SELECT t.id, t.last_seq, CASE WHEN c.floor>t.floor THEN c.floor ELSE t.floor END FROM timelines t"
    " LEFT JOIN contacts c ON c.timeline=t.id AND c.user_id=? WHERE t.name=?"
)
SAME_SECOND_PAGE = 50  # entries read at once while looking for a MsgKey among those of one second


class TooOld(InvalidArgument):
    """An imported entry is older than the last entry of its timeline, whose time is `last_time`; nothing was stored."""

    def __init__(self, last_time: int) -> None:
        super().__init__(f"the time must not be before {last_time}, the time of the conversation's last message")
        self.last_time = last_time


class TimelineStore:
    """Entries of timelines, numbered 1, 2, 3, … in each. Every method may raise StorageError."""

    def __init__(self, engine: SqlEngine) -> None:
        self._engine = engine

    def append(self, entry: NewEntry) -> Awaitable[Appended]:
        """Store an entry. Entries are numbered in the order of the calls.

        An entry whose sender and msg_id exist already is not stored again: the existing one is returned.

        Raises:
            MsgIdConflict: The msg_id exists with another body.
            InvalidElem: The message refers to content that its sender may not read.
            StaleRead: A version of `checks` is no longer the current one.
        """
        return self._engine.append(entry)

    async def import_entry(self, entry: NewEntry) -> Appended:
        """Store an entry with a time of its own at the end of its timeline, or return the existing one.

        Raises:
            TooOld: The timeline has a later entry.
            InvalidElem: The message refers to content that its sender may not read.
            StaleRead: A version of `checks` is no longer the current one.
        """
        return await self._engine.submit(partial(append, entry))

    async def find_existing(self, entry: NewEntry) -> Appended | None:
        """Return the existing entry of this sender and msg_id, including one whose append is still queued.

        An empty fingerprint matches any body.

        Raises:
            MsgIdConflict: The msg_id exists with another body.
        """
        if entry.msg_key is None:
            return None
        return await self._engine.submit(partial(find_existing, entry))

    async def has_written(self, timeline: str, user: str) -> bool:
        """Return True if a timeline has a message of this user with a msg_id."""
        return await self._engine.read(partial(has_written, timeline, user))

    async def entry(self, timeline: str, seq: int, *, reader: str = "") -> StoredEntry | None:
        """Return one entry, or None if it does not exist, or if `reader` has deleted it."""
        return await self._engine.read(partial(entry_at, timeline, seq, reader))

    async def page(self, timeline: str, first: int, last: int, limit: int, *, reader: str = "") -> TimelinePage:
        """Return the newest `limit` entries from `first` to `last`. A timeline that does not exist is empty.

        Those that `reader` may not see, or has deleted, are left out.
        """
        return await self._engine.read(partial(page, timeline, first, last, limit, reader))

    async def messages_before(self, timeline: str, last: int, floor: int, limit: int, *, reader: str = "") -> TimelinePage:
        """Return the newest `limit` entries up to `last`, without actions. The next page ends before the page's `first`.

        Those that `reader` may not see, or has deleted, are left out.
        """
        return await self._engine.read(partial(messages_before, timeline, last, floor, limit, reader))

    async def active_since(self, time: int, *, after: str, group: bool, limit: int) -> list[str]:
        """Return the sorted names of C2C or group timelines after `after` that have an entry of this time or later."""
        return await self._engine.read(partial(active_since, time, after, group, limit))

    async def seq_before(self, timeline: str, time: int, msg_key: str) -> int:
        """Return the last seq before the message with this time and MsgKey (`{MsgSeq}_{MsgRandom}_{MsgTime}`)."""
        return await self._engine.read(partial(seq_before, timeline, time, msg_key))


def append(entry: NewEntry) -> Operation[Appended]:
    """Append an entry, or return the existing one. Raises MsgIdConflict, InvalidElem, StaleRead."""
    if entry.checks and (yield from versions.outdated(entry.checks)):
        known = (yield from find_existing(entry)) if entry.msg_key is not None else None
        if known is None:
            raise StaleRead("another node changed an account or group that this entry depends on; decide again")
        return known
    rows = yield Execute(
        "UPDATE timelines SET last_seq=last_seq+1, last_time=CASE WHEN last_time>? THEN last_time ELSE ? END"
        " WHERE name=? RETURNING id, last_seq, last_time",
        (entry.time, entry.time, entry.timeline),
    )
    if not rows:
        # another node may be inserting the timeline now: then this statement waits for the other commit and takes the next seq
        rows = yield Execute(
            "INSERT INTO timelines(name, last_seq, last_time) VALUES(?,1,?) ON CONFLICT(name) DO UPDATE SET"
            " last_seq=timelines.last_seq+1, last_time=CASE WHEN timelines.last_time>excluded.last_time"
            " THEN timelines.last_time ELSE excluded.last_time END RETURNING id, last_seq, last_time",
            (entry.timeline, entry.time),
        )
    timeline, seq, time = rows[0]
    if entry.imported and time != entry.time:
        yield Execute("UPDATE timelines SET last_seq=last_seq-1 WHERE id=?", (timeline,))
        if (stored := (yield from find_existing(entry))) is not None:
            return stored
        raise TooOld(time)
    if entry.window_s and entry.msg_key is not None:
        yield Execute(_FORGET_KEY, (timeline, entry.key_sender, *entry.msg_key, timeline, entry.time - entry.window_s))
    if entry.msg_key is not None:
        name = (timeline, entry.key_sender, entry.msg_key.client_time)
        keys = (*name, entry.msg_key.random, seq, entry.fingerprint, *name, entry.msg_key.sourceless, entry.fingerprint)
        taken = yield Execute(_CLAIM_KEY, keys)
        if not taken:
            # give back the seq that was just taken, so that the timeline has no gap
            yield Execute("UPDATE timelines SET last_seq=last_seq-1 WHERE id=?", (timeline,))
            known = yield from find_existing(entry)
            assert known is not None
            return known
    failpoint("before-insert")
    yield Execute(
        "INSERT INTO entries(timeline, seq, time, sender, tail, kind) VALUES(?,?,?,?,?,?)",
        (timeline, seq, time, entry.sender, entry.tail, entry.kind),
    )
    failpoint("after-insert")
    if entry.media:
        yield from media.refer(entry.sender, timeline, seq, entry.media, entry.time)
        for user in entry.audience:
            yield from media.grant(entry.sender, user, entry.media, entry.time)
    if entry.has_requests:
        yield from receipts.insert_requests(timeline, seq, entry)
    hidden = (yield from hide(entry.hidden_from, timeline, entry.timeline, seq, time)) if entry.hidden_from else None
    if seq == 1 and entry.contacts:
        yield ExecuteMany(_LIST, [(user, timeline) for user in sorted(entry.contacts)])
    yield from callbacks.insert(entry.callbacks, seq, time)
    return Appended(seq, time, hidden=hidden)


class _Position(NamedTuple):
    """The seq and time assigned to a new entry."""

    timeline: int
    seq: int
    time: int


def append_all(entries: Sequence[NewEntry]) -> Operation[list[Appended | MsgIdConflict]]:
    """Append many entries in as few statements as their timelines allow.

    The entries must refer to no content, mention nobody, request no receipts, be hidden from nobody, cause no callbacks and
    have no window. Entries of new timelines are appended one by one. If one of the entries already exists, all are appended one
    by one.
    """
    if len(entries) == 1:
        return (yield from one_by_one(entries))
    places = yield from _take_numbers(entries)
    if not (yield from _insert_msg_ids(entries, places)):
        return (yield from one_by_one(entries))
    for _ in places:
        failpoint("before-insert")
    rows = [(*place, entries[n].sender, entries[n].tail, entries[n].kind) for n, place in places.items()]
    yield ExecuteMany(_INSERT_ENTRY, rows)
    for _ in places:
        failpoint("after-insert")
    if listed := [(user, place.timeline) for n, place in places.items() if place.seq == 1 for user in entries[n].contacts]:
        yield ExecuteMany(_LIST, sorted(listed))
    of_new = [n for n in range(len(entries)) if n not in places]
    others = dict(zip(of_new, (yield from one_by_one([entries[n] for n in of_new])), strict=True))
    return [Appended(places[n].seq, places[n].time) if n in places else others[n] for n in range(len(entries))]


def _take_numbers(entries: Sequence[NewEntry]) -> Operation[dict[int, _Position]]:
    """Assign seqs to the entries of existing timelines. Return the positions by the index of the entry."""
    lines: dict[str, list[int]] = {}
    for n, entry in enumerate(entries):
        lines.setdefault(entry.timeline, []).append(n)
    places: dict[int, _Position] = {}
    for name, numbers in lines.items():
        time = max(entries[n].time for n in numbers)
        row = yield from first_row(
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
                places[n] = _Position(timeline, seq, last_time)
    return places


def _insert_msg_ids(entries: Sequence[NewEntry], places: dict[int, _Position]) -> Operation[bool]:
    """Insert the msg_ids of the entries. If one exists already, undo the inserts, give back the seqs and return False."""
    keys: list[tuple[Any, ...]] = []
    for n, place in places.items():
        if (key := entries[n].msg_key) is not None:
            keys.append((place.timeline, entries[n].sender, *key, place.seq, entries[n].fingerprint))
    ((kept,),) = yield ExecuteMany(_INSERT_KEY, keys)
    if kept == len(keys):
        return True
    yield ExecuteMany("UPDATE timelines SET last_seq=last_seq-1 WHERE id=?", [(place.timeline,) for place in places.values()])
    yield ExecuteMany(
        "DELETE FROM msg_keys WHERE timeline=? AND sender=? AND client_time=? AND random=? AND seq=?",
        [key[:5] for key in keys],
    )
    return False


def one_by_one(entries: Sequence[NewEntry]) -> Operation[list[Appended | MsgIdConflict]]:
    """Append the entries one by one. Return a MsgIdConflict in place of the result of an entry that raised it."""
    results: list[Appended | MsgIdConflict] = []
    for entry in entries:
        try:
            results.append((yield from append(entry)))
        except MsgIdConflict as exc:  # this entry changed nothing, so the others can be committed
            results.append(exc)
    return results


def find_existing(entry: NewEntry) -> Operation[Appended | None]:
    """Select the existing entry with this msg_id. Raises MsgIdConflict if the body differs."""
    if (key := entry.msg_key) is None:
        return None
    row = yield from first_row(
        "SELECT k.seq, k.fingerprint, e.time FROM timelines t JOIN msg_keys k ON k.timeline=t.id"
        " JOIN entries e ON e.timeline=t.id AND e.seq=k.seq"
        " WHERE t.name=? AND k.sender=? AND k.client_time=? AND k.random IN (?,?) ORDER BY k.random DESC",
        entry.timeline,
        entry.key_sender,
        *(key.client_time, key.random, key.sourceless),
    )
    if row is None:
        return None
    seq, fingerprint, time = row
    if entry.window_s and time < entry.time - entry.window_s:
        return None
    if entry.fingerprint and fingerprint != entry.fingerprint:
        raise conflict(entry)
    return Appended(seq, time, duplicate=True)


def has_written(timeline: str, user: str) -> Operation[bool]:
    """Select a msg_id of a user in a timeline."""
    row = yield from first_row(
        "SELECT 1 FROM timelines t JOIN msg_keys m ON m.timeline=t.id WHERE t.name=? AND m.sender=? LIMIT 1", timeline, user
    )
    return row is not None


def conflict(entry: NewEntry) -> MsgIdConflict:
    """Return the error for an entry whose msg_id belongs to another message."""
    return MsgIdConflict(f"msg_id {entry.msg_key} of {entry.sender} is used by another message; use a new msg_id")


def page(timeline: str, first: int, last: int, limit: int, reader: str = "") -> Operation[TimelinePage]:
    row = yield from first_row(_EXTENT, reader, timeline)
    if row is None:
        return TimelinePage((), 1, 0, 1, 0)
    number, last_seq, floor = row
    last = min(last, last_seq)
    first = max(first, floor, last - limit + 1)
    rows = yield Execute(
        "SELECT e.seq, e.time, e.tail, e.kind FROM entries e"
        f" WHERE e.timeline=? AND e.seq BETWEEN ? AND ?{NOT_DELETED_IN_PAGE} ORDER BY e.seq DESC",
        (number, first, last, reader, number, first, last),
    )
    return TimelinePage([stored_entry(*row) for row in rows], first, last, floor, last_seq)


def entry_at(timeline: str, seq: int, reader: str = "") -> Operation[StoredEntry | None]:
    floor = "coalesce((SELECT c.floor FROM contacts c WHERE c.user_id=? AND c.timeline=e.timeline), 1)"
    row = yield from first_row(f"{ENTRY_QUERY} AND e.seq=? AND e.seq>={floor}{NOT_DELETED}", timeline, seq, reader, reader)
    return stored_entry(*row) if row is not None else None


def messages_before(timeline: str, last: int, floor: int, limit: int, reader: str = "") -> Operation[TimelinePage]:
    row = yield from first_row(_EXTENT, reader, timeline)
    if row is None:
        return TimelinePage((), 1, 0, 1, 0)
    last_seq, floor = row[1], max(floor, row[2])
    last = min(last, last_seq)
    where = f" AND e.kind<>1 AND e.seq BETWEEN ? AND ?{NOT_DELETED_IN_PAGE} ORDER BY e.seq DESC LIMIT ?"
    rows = yield Execute(ENTRY_QUERY + where, (timeline, floor, last, reader, row[0], floor, last, limit))
    found = [stored_entry(*row) for row in rows]
    return TimelinePage(found, found[-1].seq if len(found) == limit else min(floor, last + 1), last, floor, last_seq)


def active_since(time: int, after: str, group: bool, limit: int) -> Operation[list[str]]:
    first = max(after, "group\x1f" if group else "c2c\x1f")
    end = "group\x20" if group else "c2c\x20"
    rows = yield Execute(
        "SELECT name FROM timelines WHERE last_time>=? AND name>? AND name<? ORDER BY name LIMIT ?", (time, first, end, limit)
    )
    return [name for (name,) in rows]


def seq_before(timeline: str, time: int, msg_key: str) -> Operation[int]:
    row = yield from first_row("SELECT id, last_seq FROM timelines WHERE name=?", timeline)
    if row is None:
        return 0
    number, last_seq = row
    up_to = yield from _last_not_after(number, last_seq, time)
    # several messages may have the same second: the MsgKey identifies one of them
    while rows := (
        yield Execute(
            "SELECT seq, time, tail FROM entries WHERE timeline=? AND seq<=? ORDER BY seq DESC LIMIT ?",
            (number, up_to, SAME_SECOND_PAGE if msg_key else 1),
        )
    ):
        for seq, at, tail in rows:
            if at < time or not msg_key:
                return int(seq)
            if msg_key_of(readable_payload(tail), at) == msg_key:
                return int(seq) - 1
        up_to = rows[-1][0] - 1
    return 0


def _last_not_after(timeline: int, last_seq: int, time: int) -> Operation[int]:
    """Find the last seq of this time or an earlier one by binary search: times never decrease within a timeline."""
    low, high = 0, last_seq
    while low < high:
        middle = (low + high + 1) // 2
        row = yield from first_row(
            "SELECT seq, time FROM entries WHERE timeline=? AND seq<=? ORDER BY seq DESC LIMIT 1", timeline, middle
        )
        if row is None or row[1] <= time:
            low = middle
        else:
            high = row[0] - 1
    return low

"""One user's state of a conversation in SQL: read seq, the peer's read seq, unread counts, pinned, muted, draft.

Invariant: every change sets `read_time` of its row, so that a device that was offline gets the change at its next login. Each
change of pinned, muted or draft raises `settings_version`, so that a device never replaces a value by an older one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from ...errors import LimitReached
from ...protocol.entries import MessageControl, decode_payload
from . import callbacks, receipts
from .deletions import CLEARED, DELETED, NOT_DELETED
from .deletions import UNLISTED as UNLISTED_AT
from .entities import UNREAD_LIMIT, ChangedConversation, ConversationChange, Read, Receipt, Unread, UserConversation
from .entries import ACTION, HIDDEN, MESSAGE, TARGETED, UNLISTED, StoredEntry, stored_entry
from .new_callbacks import NewCallback, no_callbacks
from .operation import Execute, Operation, SqlEngine, first_row

_LAST_MESSAGE = (
    f"(SELECT x.seq FROM entries x WHERE x.timeline=t.id AND x.kind NOT IN ({ACTION},{UNLISTED},{HIDDEN},{TARGETED})"
    f" AND NOT EXISTS(SELECT 1 FROM deletions d WHERE d.user_id=c.user_id AND d.timeline=t.id AND d.kind={DELETED}"
    " AND d.seq=x.seq) ORDER BY x.seq DESC LIMIT 1)"
)
_TARGETED = (  # entries that are the last message of their audience only
    f"SELECT e.seq, e.time, e.tail, e.kind FROM entries e WHERE e.timeline=? AND e.seq>? AND e.kind={TARGETED}{NOT_DELETED}"
    " ORDER BY e.seq DESC LIMIT ?"
)
_TARGETED_AT_ONCE = 50
_UNREAD = (
    f"SELECT 1 FROM entries e WHERE e.timeline=? AND e.seq>? AND e.kind IN ({MESSAGE},{UNLISTED})"
    f" AND e.sender NOT IN (?, '')"  # the sender of a tip is ''
)
_NEWEST_UNREAD = (
    f"SELECT e.seq FROM entries e WHERE e.timeline=? AND e.seq>=? AND e.kind IN ({MESSAGE},{UNLISTED})"
    f" AND e.sender NOT IN (?, ''){NOT_DELETED} ORDER BY e.seq DESC"
)
_MENTIONED = (
    "SELECT DISTINCT m.seq FROM mentions m JOIN entries e ON e.timeline=m.timeline AND e.seq=m.seq"
    f" WHERE m.timeline=? AND m.user_id IN (?, '') AND m.seq>? AND e.kind IN ({MESSAGE},{UNLISTED}) AND e.sender<>?"
)


class SettingLimits(NamedTuple):
    """The maximum numbers of a user's conversations with a draft, and with any setting that was ever changed."""

    drafts: int
    conversations: int


NO_LIMITS = SettingLimits(1 << 62, 1 << 62)


class ConversationStore:
    """The conversations of users: read seqs, unread counts, settings. Every method may raise StorageError."""

    def __init__(self, engine: SqlEngine) -> None:
        self._engine = engine

    async def page(self, user: str, offset: int, limit: int, *, since: int = 0) -> list[UserConversation]:
        """Return the conversations that changed at `since` or later, newest first, each with its last message."""
        return await self._engine.read(partial(page, user, offset, limit, since))

    async def unread(self, user: str, timelines: Sequence[str]) -> list[Unread]:
        """Count the unread entries of each timeline. Counting stops at UNREAD_LIMIT."""
        if not timelines:  # a device that reconnects sends an empty list
            return []
        return await self._engine.read(partial(unread, user, timelines))

    async def unread_c2c(self, user: str, limit: int) -> int:
        """Return the number of unread C2C messages of a user, in the newest `limit` conversations."""
        return await self._engine.read(partial(unread_c2c, user, limit))

    async def unread_above(self, user: str, timelines: Sequence[tuple[str, int]]) -> list[Unread]:
        """Count the unread entries of each timeline above a seq. Counting stops at UNREAD_LIMIT."""
        return await self._engine.read(partial(unread_above, user, timelines))

    async def set_read(
        self,
        user: str,
        timeline: str,
        seq: int,
        *,
        time: int = 0,
        report: Callable[[Read], Sequence[NewCallback]] = no_callbacks,
    ) -> Read:
        """Increase the user's read seq in a timeline. A lower seq changes nothing.

        Args:
            user: The user.
            timeline: The timeline.
            seq: The new read seq.
            time: The time of reading, in seconds.
            report: Returns the callbacks that are stored with a change. It must have no effect.
        """
        return await self._engine.write(partial(set_read, user, timeline, seq, time, report))

    async def set_unread(self, user: str, timeline: str, count: int, *, time: int) -> Read | None:
        """Set the read seq so that `count` messages are unread, or all if there are fewer. It may become lower.

        Return None if the user does not have the conversation.
        """
        return await self._engine.write(partial(set_unread, user, timeline, count, time))

    async def read_all(self, timeline: str, *, time: int) -> int:
        """Set the read seq of all users of a timeline to its last seq, and return that seq."""
        return await self._engine.write(partial(read_all, timeline, time))

    async def first_visible_seq(self, user: str, timeline: str) -> int:
        """Return the first seq of a timeline that a user may see."""
        return await self._engine.read(partial(first_visible_seq, user, timeline))

    async def read_time(self, user: str, timeline: str) -> int:
        """Return the time of the last entry that this user has read, or 0 if there is none."""
        return await self._engine.read(partial(read_time, user, timeline))

    async def change(
        self, user: str, timeline: str, change_: ConversationChange, *, time: float, limits: SettingLimits = NO_LIMITS
    ) -> ChangedConversation | None:
        """Change the pin, the mute or the draft of a conversation, unless another device has changed the setting later.

        Return the state after the change, or None if the user is not a member of that group.

        Raises:
            LimitReached: The user has as many drafts, or as many conversations with settings, as the limits allow.
        """
        return await self._engine.write(partial(change, user, timeline, change_, time, limits))

    async def muted(self, user: str, timelines: Sequence[str]) -> list[bool]:
        """Return for each timeline if the user has muted it."""
        return await self._engine.read(partial(muted, user, timelines))

    async def users_who_muted(self, timeline: str, users: Sequence[str]) -> set[str]:
        """Return those of `users` who have muted a timeline."""
        return await self._engine.read(partial(users_who_muted, timeline, users))


def page(user: str, offset: int, limit: int, since: int) -> Operation[list[UserConversation]]:
    rows = yield Execute(
        "SELECT t.name, t.last_seq, t.last_time, c.read_seq, c.floor, t.floor, e.seq, e.time, e.tail, e.kind,"
        " t.act_seq, c.peer_read_seq, c.pinned, c.muted, c.draft, c.settings_version, c.reset_version, t.id, g.seq, u.seq"
        " FROM contacts c JOIN timelines t ON t.id=c.timeline"
        f" LEFT JOIN deletions g ON g.user_id=c.user_id AND g.timeline=c.timeline AND g.kind={CLEARED}"
        f" LEFT JOIN deletions u ON u.user_id=c.user_id AND u.timeline=c.timeline AND u.kind={UNLISTED_AT}"
        f" LEFT JOIN entries e ON e.timeline=t.id AND e.seq={_LAST_MESSAGE}"
        " WHERE c.user_id=? AND (t.last_time>=? OR c.read_time>=?)"
        " AND (c.floor=1 OR c.floor<=t.last_seq OR t.name LIKE 'group%' OR g.seq=c.floor-1)"
        " ORDER BY t.last_time DESC, t.id DESC LIMIT ? OFFSET ?",
        (user, since, since, limit, offset),
    )
    found: list[UserConversation] = []
    for (
        name,
        last_seq,
        time,
        read,
        own,
        all,
        seq,
        at,
        tail,
        kind,
        acts,
        peer_read,
        pinned,
        muted,
        draft,
        version,
        reset_version,
        number,
        _,
        unlisted,
    ) in rows:
        last = stored_entry(seq, at, tail, kind) if seq is not None else None
        if name.startswith("group\x1f") and last_seq > (seq or 0):
            last = (yield from _last_targeted(number, seq or 0, user)) or last
        flags = (pinned, bool(muted), draft, version, reset_version)
        floor = max(own, all)
        found.append(UserConversation(name, last_seq, time, read, floor, last, acts, peer_read, *flags, unlisted or 0))
    return found


def _last_targeted(timeline: int, after: int, user: str) -> Operation[StoredEntry | None]:
    """Select the newest message to `user` alone after a seq."""
    rows = yield Execute(_TARGETED, (timeline, after, user, _TARGETED_AT_ONCE))
    for row in rows:
        entry = stored_entry(*row)
        payload = decode_payload(entry.tail)
        unlisted = isinstance(payload.control, MessageControl) and payload.control.no_last
        if user in payload.audience and not unlisted:
            return entry
    return None


def unread(user: str, timelines: Sequence[str]) -> Operation[list[Unread]]:
    return (yield from unread_above(user, [(timeline, 0) for timeline in timelines]))


def unread_c2c(user: str, limit: int) -> Operation[int]:
    """Count the unread C2C messages of a user."""
    rows = yield Execute(
        "SELECT t.name FROM contacts c JOIN timelines t ON t.id=c.timeline WHERE c.user_id=? AND t.last_seq>c.read_seq"
        " AND t.name LIKE 'c2c%' ORDER BY t.last_time DESC, t.id DESC LIMIT ?",
        (user, limit),
    )
    return sum(count.count for count in (yield from unread(user, [row[0] for row in rows])))


def unread_above(user: str, timelines: Sequence[tuple[str, int]]) -> Operation[list[Unread]]:
    counts: list[Unread] = []
    for timeline, after in timelines:
        counts += [(yield from _unread(user, timeline, after))]
    return counts


def _unread(user: str, timeline: str, after: int = 0) -> Operation[Unread]:
    """Count the entries of other users above the read seq, the first visible seq and `after`: not recalled, and no tips."""
    row = yield from first_row(
        "SELECT t.id, c.read_seq, c.floor, t.last_seq, EXISTS(SELECT 1 FROM deletions d WHERE d.user_id=c.user_id"
        f" AND d.timeline=t.id AND d.kind={DELETED} AND d.seq>c.read_seq) FROM timelines t JOIN contacts c ON c.timeline=t.id"
        " WHERE t.name=? AND c.user_id=?",
        timeline,
        user,
    )
    if row is None:
        return Unread(0, 0, 0)
    number, read, floor, last_seq, some_deleted = row
    read = max(read, floor - 1, after)
    if read >= last_seq:
        return Unread(0, 0, last_seq)
    others, calls, reader = _UNREAD, _MENTIONED, tuple[str, ...]()
    if some_deleted:
        others, calls, reader = others + NOT_DELETED, calls + NOT_DELETED, (user,)
    count = yield from first_row(
        f"SELECT count(*) FROM ({others} LIMIT ?) AS others", number, read, user, *reader, UNREAD_LIMIT
    )
    mentioned = yield from first_row(f"SELECT count(*) FROM ({calls}) AS calls", number, user, read, user, *reader)
    return Unread(count[0] if count else 0, mentioned[0] if mentioned else 0, last_seq)


def read_time(user: str, timeline: str) -> Operation[int]:
    row = yield from first_row(
        "SELECT e.time FROM timelines t JOIN contacts c ON c.timeline=t.id"
        " JOIN entries e ON e.timeline=t.id AND e.seq=c.read_seq"
        " WHERE t.name=? AND c.user_id=?",
        timeline,
        user,
    )
    return int(row[0]) if row else 0


def set_read(
    user: str, timeline: str, seq: int, time: int, report: Callable[[Read], Sequence[NewCallback]] = no_callbacks
) -> Operation[Read]:
    """Increase a read seq, and insert the callbacks of the change."""
    row = yield from first_row(
        "SELECT t.id, t.last_seq, c.read_seq FROM timelines t JOIN contacts c ON c.timeline=t.id"
        " WHERE t.name=? AND c.user_id=?",
        timeline,
        user,
    )
    if row is None:
        return Read(0, Unread(0, 0, 0))
    number, last_seq, before = row
    risen = yield Execute(
        "UPDATE contacts SET read_seq=?, read_time=? WHERE user_id=? AND timeline=? AND read_seq<? RETURNING read_seq",
        (min(seq, last_seq), time, user, number, min(seq, last_seq)),
    )
    if not risen:
        return Read(before, (yield from _unread(user, timeline)))
    seq = risen[0][0]
    risen_receipts: list[Receipt] = []
    if timeline.startswith("c2c\x1f"):
        yield Execute(
            "UPDATE contacts SET peer_read_seq=?, read_time=? WHERE timeline=? AND user_id<>? AND peer_read_seq<?",
            (seq, time, number, user, seq),
        )
    wanted = yield Execute(
        "SELECT seq FROM receipts_wanted WHERE timeline=? AND seq>? AND seq<=? AND sender<>?",
        (number, before, seq, user),
    )
    for (at,) in wanted:
        risen_receipts += yield from receipts.add_reader(number, timeline, at, user, time)
    read = Read(seq, (yield from _unread(user, timeline)), True, risen_receipts)
    yield from callbacks.insert(report(read))
    return read


def set_unread(user: str, timeline: str, count: int, time: int) -> Operation[Read | None]:
    """Set a read seq so that a number of messages is unread."""
    row = yield from first_row(
        "SELECT t.id, t.last_seq, c.floor FROM timelines t JOIN contacts c ON c.timeline=t.id WHERE t.name=? AND c.user_id=?",
        timeline,
        user,
    )
    if row is None:
        return None
    number, last_seq, floor = row
    seq = last_seq
    if count:
        oldest = yield from first_row(f"{_NEWEST_UNREAD} LIMIT 1 OFFSET ?", number, floor, user, user, count - 1)
        seq = oldest[0] - 1 if oldest else floor - 1
    yield Execute(
        "UPDATE contacts SET read_seq=?, read_time=?, settings_version=settings_version+1, reset_version=settings_version+1"
        " WHERE user_id=? AND timeline=?",
        (seq, time, user, number),
    )
    return Read(seq, (yield from _unread(user, timeline)), True)


def read_all(timeline: str, time: int) -> Operation[int]:
    """Raise the read seqs of all users of a timeline."""
    row = yield from first_row("SELECT id, last_seq FROM timelines WHERE name=?", timeline)
    if row is None:
        return 0
    yield Execute("UPDATE contacts SET read_seq=?, read_time=? WHERE timeline=? AND read_seq<?", (row[1], time, row[0], row[1]))
    return int(row[1])


def first_visible_seq(user: str, timeline: str) -> Operation[int]:
    row = yield from first_row(
        "SELECT c.floor FROM contacts c JOIN timelines t ON t.id=c.timeline WHERE t.name=? AND c.user_id=?", timeline, user
    )
    return int(row[0]) if row else 1


def change(
    user: str, timeline: str, wanted: ConversationChange, time: float, limits: SettingLimits = NO_LIMITS
) -> Operation[ChangedConversation | None]:
    """Change the pin, the mute or the draft. Return None if the user is not a member of that group. Raises LimitReached."""
    if not timeline.startswith("group\x1f"):
        yield Execute("INSERT INTO timelines(name) VALUES(?) ON CONFLICT(name) DO NOTHING", (timeline,))
        yield Execute(
            "INSERT INTO contacts(user_id, timeline) SELECT ?, id FROM timelines WHERE name=?"
            " ON CONFLICT(user_id, timeline) DO NOTHING",
            (user, timeline),
        )
    row = yield from first_row(
        "UPDATE contacts SET settings_version=settings_version WHERE user_id=?"
        " AND timeline=(SELECT id FROM timelines WHERE name=?)"
        " RETURNING timeline, read_seq, floor, peer_read_seq, pinned, muted, draft, settings_version, settings_changed",
        user,
        timeline,
    )  # an update, because it locks the row until the transaction ends
    if row is None:
        return None
    number, read, floor, peer_read, *values, version, packed = row
    settings: dict[str, int | str] = dict(zip(("pinned", "muted", "draft"), values, strict=True))
    changed: dict[str, tuple[int, str]] = json.loads(packed)
    made_ms = int(time * 1000) - wanted.age_ms
    applied = {name: value for name, value in _settings_of(wanted).items() if _is_last(changed.get(name), wanted, made_ms)}
    if applied:
        if not version:
            yield from _check_count(user, "settings_version>0", limits.conversations, "conversations with settings")
        if applied.get("draft") and not settings["draft"]:
            yield from _check_count(user, "draft<>''", limits.drafts, "drafts; remove one")
        settings |= applied
        changed |= dict.fromkeys(applied, (made_ms, wanted.device))
        version += 1
        sets = "".join(f"{name}=?, " for name in applied)
        yield Execute(
            f"UPDATE contacts SET {sets}settings_version=?, settings_changed=?, read_time=? WHERE user_id=? AND timeline=?",
            (*applied.values(), version, json.dumps(changed), int(time), user, number),
        )
    pinned, muted, draft = int(settings["pinned"]), bool(settings["muted"]), str(settings["draft"])
    now = UserConversation(timeline, 0, 0, read, floor, None, 0, peer_read, pinned, muted, draft, version)
    return ChangedConversation(now, bool(applied))


def _check_count(user: str, kind: str, limit: int, named: str) -> Operation[None]:
    row = yield from first_row(f"SELECT count(*) FROM contacts WHERE user_id=? AND {kind}", user)
    if row is not None and int(row[0]) >= limit:
        raise LimitReached(f"{user!r} has {row[0]} {named}; the limit is {limit}", code=10014)


def _settings_of(wanted: ConversationChange) -> dict[str, int | str]:
    """Return the columns that a change sets, with their new values."""
    columns = {"pinned": wanted.pinned, "muted": wanted.muted, "draft": wanted.draft}
    return {name: value if isinstance(value, str) else int(value) for name, value in columns.items() if value is not None}


def _is_last(before: tuple[int, str] | None, wanted: ConversationChange, made_ms: int) -> bool:
    """Return True unless another device has made a later change of the setting."""
    if before is None or not wanted.age_ms:
        return True
    time_ms, device = before
    return made_ms >= time_ms or (device != "" and device == wanted.device)


def muted(user: str, timelines: Sequence[str]) -> Operation[list[bool]]:
    """Select for each timeline if the user has muted it."""
    found: list[bool] = []
    for name in timelines:
        sql = "SELECT c.muted FROM contacts c JOIN timelines t ON t.id=c.timeline WHERE c.user_id=? AND t.name=?"
        row = yield from first_row(sql, user, name)
        found.append(bool(row and row[0]))
    return found


def users_who_muted(timeline: str, users: Sequence[str]) -> Operation[set[str]]:
    """Select those of `users` who have muted a timeline."""
    found: set[str] = set()
    for user in users:
        if (yield from muted(user, [timeline]))[0]:
            found.add(user)
    return found

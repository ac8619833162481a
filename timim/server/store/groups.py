"""Groups and their members in SQL."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from ...errors import GroupExists
from . import deletions, topics
from . import mutations as ch
from .entities import GROUP_JSON_FIELDS, GroupApplication, Member, ReadVersions, StoredGroup
from .operation import Execute, ExecuteMany, Operation, Row, SqlEngine, first_row

_GROUP = "SELECT group_id, type, name, owner, created, version, facts FROM groups WHERE group_id=? AND dissolved=0"
_MEMBERS = (
    "SELECT user_id, role, name_card, floor, muted_until, joined, custom FROM members WHERE group_id=?"
    " ORDER BY position, user_id"
)


class GroupStore:
    """Groups and their members. Every method may raise StorageError."""

    def __init__(self, engine: SqlEngine) -> None:
        self._engine = engine

    async def create(self, group: StoredGroup) -> None:
        """Create a group with its members. Raises GroupExists if the id is taken, also by a dissolved group."""
        await self._engine.submit(partial(apply, ch.InsertGroup(group)))

    async def get(self, group_id: str) -> StoredGroup | None:
        """Return a group, or None if it does not exist or was dissolved."""
        return await self._engine.read(partial(group, group_id))

    async def of_user(self, user: str) -> list[StoredGroup]:
        """Return the groups that a user is in."""
        return await self._engine.read(partial(groups_of, user))

    async def ids_of(self, user: str, *, live: bool = True) -> list[str]:
        """Return the ids of the groups that a user is in, sorted, with or without AVChatRooms."""
        return await self._engine.read(partial(group_ids_of, user, live=live))

    async def in_live_rooms(self, users: Sequence[str] | None) -> list[tuple[str, str]]:
        """Return the live rooms (AVChatRooms) with those of `users`, or all users, who are in them and own them not."""
        return await self._engine.read(partial(in_live_rooms, users))

    async def page(self, types: Sequence[str], begin: int, limit: int) -> tuple[int, list[str]]:
        """Return the number of groups of these types (all types if there are none), and a page of their ids, sorted."""
        return await self._engine.read(partial(group_page, types, begin, limit))

    async def owned(self, user: str) -> int:
        """Return the number of groups that a user owns."""
        return await self._engine.read(partial(owned, user))

    async def owned_by_type(self, user: str) -> dict[str, int]:
        """Return the number of groups that a user owns, by type."""
        return await self._engine.read(partial(owned_by_type, user))

    async def first_visible_seqs(self, user: str) -> dict[str, int]:
        """Return the ids of the groups that a user is in, each with the first seq that the user may see."""
        return await self._engine.read(partial(first_visible_seqs, user))


def check_versions(read: ReadVersions) -> Operation[None]:
    """Increase the versions of these groups and lock their rows until the commit. Raises StaleRead."""
    for group_id, version in sorted(read.groups.items()):
        same = yield Execute(
            "UPDATE groups SET version=version+1 WHERE group_id=? AND version=? AND dissolved=0 RETURNING version",
            (group_id, version),
        )
        if not same:
            raise ch.StaleRead(f"group {group_id!r} was changed by another node")


def apply(change: ch.GroupChange) -> Operation[None]:
    """Write one change of a group or its topics. Raises GroupExists."""
    match change:
        case ch.InsertGroup(group):
            yield from _create(group)
        case ch.SetGroup(group):
            yield Execute(
                "UPDATE groups SET name=?, owner=?, facts=? WHERE group_id=?",
                (group.name, group.owner, _json_fields(group), group.group_id),
            )
        case ch.DissolveGroup(group_id, users):
            yield Execute("UPDATE groups SET dissolved=1 WHERE group_id=?", (group_id,))
            yield Execute("DELETE FROM group_applications WHERE group_id=?", (group_id,))
            yield from topics.remove_all(group_id)
            yield from _remove(group_id, users)
        case ch.InsertMembers(group_id, members, from_now):
            yield from _add(group_id, members, from_now=from_now)
        case ch.SetMember(group_id, user, member):
            yield Execute(
                "UPDATE members SET role=?, name_card=?, muted_until=?, custom=? WHERE group_id=? AND user_id=?",
                (member.role, member.name_card, member.muted_until, json.dumps(member.custom), group_id, user),
            )
        case ch.RemoveMembers(group_id, users):
            yield from _remove(group_id, users)
        case ch.SetGroupApplication(group_id, user, application):
            yield Execute(
                "INSERT INTO group_applications VALUES(?,?,?,?,?,?) ON CONFLICT(group_id, user_id) DO UPDATE SET"
                " inviter=excluded.inviter, wording=excluded.wording, time=excluded.time, consent=excluded.consent",
                (group_id, user, application.inviter, application.wording, application.time, int(application.consent)),
            )
        case ch.RemoveGroupApplication(group_id, user):
            yield Execute("DELETE FROM group_applications WHERE group_id=? AND user_id=?", (group_id, user))
        case _:
            yield from topics.apply(change)


def group(group_id: str) -> Operation[StoredGroup | None]:
    row = yield from first_row(_GROUP, group_id)
    if row is None:
        return None
    members = {
        user: Member(role, card, floor, muted, joined, json.loads(custom) if custom != "{}" else {})
        for user, role, card, floor, muted, joined, custom in (yield Execute(_MEMBERS, (group_id,)))
    }
    rows = yield Execute(
        "SELECT user_id, inviter, wording, time, consent FROM group_applications WHERE group_id=? ORDER BY time, user_id",
        (group_id,),
    )
    applications = {user: GroupApplication(by, text, time, bool(asks)) for user, by, text, time, asks in rows}
    known_as, type, name, owner, created, version, packed = row
    facts = json.loads(packed)
    if facts.get("has_topics"):
        facts["topics"] = yield from topics.topics(group_id)
    return StoredGroup(known_as, type, name, owner, created, members, applications=applications, version=version, **facts)


def owned_by_type(user: str) -> Operation[dict[str, int]]:
    rows = yield Execute("SELECT type, count(*) FROM groups WHERE owner=? AND dissolved=0 GROUP BY type", (user,))
    return {type: int(count) for type, count in rows}


def first_visible_seqs(user: str) -> Operation[dict[str, int]]:
    rows = yield Execute("SELECT group_id, floor FROM members WHERE user_id=?", (user,))
    return {group_id: floor for group_id, floor in rows}  # noqa: C416  a row is no pair to mypy


def owned(user: str) -> Operation[int]:
    row = yield from first_row("SELECT count(*) FROM members WHERE user_id=? AND role='Owner'", user)
    return int(row[0]) if row is not None else 0


def group_ids_of(user: str, *, live: bool = True) -> Operation[list[str]]:
    if live:
        rows = yield Execute("SELECT group_id FROM members WHERE user_id=? ORDER BY group_id", (user,))
    else:
        rows = yield Execute(
            "SELECT m.group_id FROM members m JOIN groups g ON g.group_id=m.group_id"
            " WHERE m.user_id=? AND g.type<>'AVChatRoom' ORDER BY m.group_id",
            (user,),
        )
    return [group_id for (group_id,) in rows]


def in_live_rooms(users: Sequence[str] | None) -> Operation[list[tuple[str, str]]]:
    if users is not None and not users:
        return []
    named = f" AND m.user_id IN ({','.join('?' * len(users))})" if users is not None else ""
    rows = yield Execute(
        "SELECT m.group_id, m.user_id FROM members m JOIN groups g ON g.group_id=m.group_id"
        f" WHERE g.type='AVChatRoom' AND m.role<>'Owner'{named} ORDER BY m.group_id, m.position",
        tuple(users or ()),
    )
    return [(group_id, user) for group_id, user in rows]


def group_page(types: Sequence[str], begin: int, limit: int) -> Operation[tuple[int, list[str]]]:
    where = f"dissolved=0 AND type IN ({','.join('?' * len(types))})" if types else "dissolved=0"
    row = yield from first_row(f"SELECT count(*) FROM groups WHERE {where}", *types)
    assert row is not None
    query = f"SELECT group_id FROM groups WHERE {where} ORDER BY group_id LIMIT ? OFFSET ?"
    rows = yield Execute(query, (*types, limit, begin))
    return int(row[0]), [group_id for (group_id,) in rows]


def groups_of(user: str) -> Operation[list[StoredGroup]]:
    groups = []
    for group_id in (yield from group_ids_of(user)):
        known = yield from group(group_id)
        if known is not None:
            groups.append(known)
    return groups


def _json_fields(group: StoredGroup) -> str:
    return json.dumps({name: value for name in GROUP_JSON_FIELDS if (value := getattr(group, name))})


def _timeline(group_id: str) -> Operation[Row]:
    """Select the row id of a group's timeline, its last seq, and the highest settings version of a former member."""
    row = yield from first_row("SELECT id, last_seq, settings_version FROM timelines WHERE name=?", f"group\x1f{group_id}")
    assert row is not None
    return row


def _create(group: StoredGroup) -> Operation[None]:
    made = yield Execute(
        "INSERT INTO groups(group_id, type, name, owner, created, facts) VALUES(?,?,?,?,?,?)"
        " ON CONFLICT(group_id) DO NOTHING RETURNING group_id",
        (group.group_id, group.type, group.name, group.owner, group.created, _json_fields(group)),
    )
    if not made:
        raise GroupExists(f"the group id {group.group_id!r} is taken; choose another id")
    yield Execute("INSERT INTO timelines(name, last_time) VALUES(?,?)", (f"group\x1f{group.group_id}", group.created))
    yield from _add(group.group_id, group.members, from_now=False)


def _add(group_id: str, members: Mapping[str, Member], *, from_now: bool) -> Operation[None]:
    timeline, last_seq, version = yield from _timeline(group_id)
    row = yield from first_row("SELECT coalesce(max(position), -1) + 1 FROM members WHERE group_id=?", group_id)
    assert row is not None
    rows = [(user, member, last_seq + 1 if from_now else member.floor) for user, member in members.items()]
    yield ExecuteMany(
        "INSERT INTO members(group_id, user_id, position, role, name_card, floor, muted_until, joined, custom)"
        " VALUES(?,?,?,?,?,?,?,?,?)",
        [
            (group_id, user, n, m.role, m.name_card, floor, m.muted_until, m.joined, json.dumps(m.custom))
            for n, (user, m, floor) in enumerate(rows, row[0])
        ],
    )
    # messages from before the members joined do not count as unread
    yield ExecuteMany(
        "INSERT INTO contacts(user_id, timeline, read_seq, floor, settings_version) VALUES(?,?,?,?,?)"
        " ON CONFLICT(user_id, timeline) DO UPDATE SET read_seq=excluded.read_seq, floor=excluded.floor",
        [(user, timeline, last_seq, floor, version + 1) for user, _, floor in rows],
    )
    if last_seq:
        yield from deletions.keep_cleared([user for user, _, _ in rows], "=?", timeline)
    yield from topics.add_members(group_id, members)


def _remove(group_id: str, users: Iterable[str]) -> Operation[None]:
    timeline, _, _ = yield from _timeline(group_id)
    gone = list(users)
    yield ExecuteMany("DELETE FROM members WHERE group_id=? AND user_id=?", [(group_id, user) for user in gone])
    own = "(SELECT settings_version FROM contacts WHERE user_id=? AND timeline=?)"
    yield ExecuteMany(
        f"UPDATE timelines SET settings_version={own} WHERE id=? AND settings_version<{own}",
        [(user, timeline, timeline, user, timeline) for user in gone],
    )
    yield ExecuteMany("DELETE FROM contacts WHERE user_id=? AND timeline=?", [(user, timeline) for user in gone])
    yield from topics.remove_members(group_id, gone)

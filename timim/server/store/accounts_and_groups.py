"""People and groups in SQL: what changes them, and what reads them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace

from ...errors import GroupExists
from . import mutations as ch
from .base import Stale
from .entities import GROUP_FACTS, Account, Application, Circle, Decided, Friend, Group, GroupApplication, Member
from .operation import Row, Run, RunMany, Steps, one

_GROUP = "SELECT group_id, type, name, owner, created, version, facts FROM groups WHERE group_id=? AND dissolved=0"
_MEMBERS = (
    "SELECT user_id, role, name_card, floor, muted_until, joined, custom FROM members WHERE group_id=?"
    " ORDER BY position, user_id"
)


def demand(decided: Decided) -> Steps[None]:
    """Count these versions on, and hold their rows until the commit. Raises Stale when one is another's already."""
    for group_id, version in sorted(decided.groups.items()):
        same = yield Run(
            "UPDATE groups SET version=version+1 WHERE group_id=? AND version=? AND dissolved=0 RETURNING version",
            (group_id, version),
        )
        if not same:
            raise Stale(f"group {group_id!r} is no longer what was decided by")
    for user, version in sorted(decided.circles.items()):
        same = yield Run(
            "INSERT INTO circles(user_id, version) VALUES(?,1) ON CONFLICT(user_id) DO UPDATE SET version=circles.version+1"
            " WHERE circles.version=? RETURNING version",
            (user, version),
        )
        if not same or same[0][0] != version + 1:
            raise Stale(f"the relations of {user!r} are no longer what was decided by")


def carry_out(change: ch.Change) -> Steps[None]:
    """Write one change. Raises GroupExists."""
    match change:
        case ch.SetAccount(account):
            same = yield Run(
                "UPDATE accounts SET nickname=?, face_url=?, custom=?, allow_type=?, details=?, version=?"
                " WHERE user_id=? AND version<? RETURNING version",
                (
                    account.nickname,
                    account.face_url,
                    json.dumps(account.custom),
                    account.allow_type,
                    json.dumps(account.details),
                    account.version,
                    account.user_id,
                    account.version,
                ),
            )
            if not same:
                raise Stale(f"the account {account.user_id!r} is no longer what was decided by")
        case ch.CreateGroup(group):
            yield from _create(group)
        case ch.SetGroup(group):
            yield Run(
                "UPDATE groups SET name=?, owner=?, facts=? WHERE group_id=?",
                (group.name, group.owner, _facts(group), group.group_id),
            )
        case ch.DissolveGroup(group_id, users):
            yield Run("UPDATE groups SET dissolved=1 WHERE group_id=?", (group_id,))
            yield Run("DELETE FROM group_applications WHERE group_id=?", (group_id,))
            yield from _remove(group_id, users)
        case ch.AddMembers(group_id, members, from_now):
            yield from _add(group_id, members, from_now=from_now)
        case ch.SetMember(group_id, user, member):
            yield Run(
                "UPDATE members SET role=?, name_card=?, muted_until=?, custom=? WHERE group_id=? AND user_id=?",
                (member.role, member.name_card, member.muted_until, json.dumps(member.custom), group_id, user),
            )
        case ch.RemoveMembers(group_id, users):
            yield from _remove(group_id, users)
        case ch.SetGroupApplication(group_id, user, wish):
            yield Run(
                "INSERT INTO group_applications VALUES(?,?,?,?,?) ON CONFLICT(group_id, user_id) DO UPDATE SET"
                " inviter=excluded.inviter, wording=excluded.wording, time=excluded.time",
                (group_id, user, wish.inviter, wish.wording, wish.time),
            )
        case ch.RemoveGroupApplication(group_id, user):
            yield Run("DELETE FROM group_applications WHERE group_id=? AND user_id=?", (group_id, user))
        case ch.SetFriend(owner, peer, friend):
            yield Run(
                "INSERT INTO friends VALUES(?,?,?,?,?,?,?) ON CONFLICT(owner, peer) DO UPDATE SET"
                " remark=excluded.remark, friend_groups=excluded.friend_groups",
                (owner, peer, friend.remark, json.dumps(friend.groups), friend.source, friend.wording, friend.added),
            )
        case ch.RemoveFriend(owner, peer):
            yield Run("DELETE FROM friends WHERE owner=? AND peer=?", (owner, peer))
        case ch.SetApplication(owner, peer, application):
            yield Run(
                "INSERT INTO applications VALUES(?,?,?) ON CONFLICT(owner, peer) DO UPDATE SET facts=excluded.facts",
                (owner, peer, json.dumps(asdict(application))),
            )
        case ch.RemoveApplication(owner, peer):
            yield Run("DELETE FROM applications WHERE owner=? AND peer=?", (owner, peer))
        case ch.SetBlocked(owner, peer, time):
            yield Run("INSERT INTO blacklist VALUES(?,?,?) ON CONFLICT(owner, peer) DO NOTHING", (owner, peer, time))
        case ch.RemoveBlocked(owner, peer):
            yield Run("DELETE FROM blacklist WHERE owner=? AND peer=?", (owner, peer))
        case ch.SetFriendGroups(owner, names):
            yield Run("DELETE FROM friend_groups WHERE owner=?", (owner,))
            yield RunMany("INSERT INTO friend_groups VALUES(?,?,?)", [(owner, i, n) for i, n in enumerate(names)])


def account(user: str) -> Steps[Account | None]:
    row = yield from one(
        "SELECT user_id, tiny_id, nickname, face_url, custom, allow_type, details, version FROM accounts WHERE user_id=?", user
    )
    if row is None:
        return None
    known_as, tiny_id, nickname, face_url, custom, allow_type, details, version = row
    return Account(known_as, tiny_id, nickname, face_url, json.loads(custom), allow_type, json.loads(details), version)


def ensure_account(user: str, nickname: str, face_url: str) -> Steps[Account]:
    """The account with these facts, where they are given, made when there is none."""
    known = yield from account(user)
    if known is None:
        row = yield from one(
            "UPDATE meta SET value=CAST(CAST(value AS BIGINT)+1 AS TEXT) WHERE key='last_tiny_id' RETURNING value"
        )
        assert row is not None
        yield Run(
            "INSERT INTO accounts(user_id, tiny_id, nickname, face_url, custom) VALUES(?,?,?,?,'{}')"
            " ON CONFLICT(user_id) DO NOTHING",
            (user, int(row[0]), nickname, face_url),
        )
        known = yield from account(user)  # another node may have been first
    assert known is not None
    wanted = replace(known, nickname=nickname or known.nickname, face_url=face_url or known.face_url)
    if wanted != known:
        yield Run(
            "UPDATE accounts SET nickname=?, face_url=?, version=version+1 WHERE user_id=?",
            (wanted.nickname, wanted.face_url, user),
        )
        wanted = replace(wanted, version=known.version + 1)
    return wanted


def group(group_id: str) -> Steps[Group | None]:
    row = yield from one(_GROUP, group_id)
    if row is None:
        return None
    members = {
        user: Member(role, card, floor, muted, joined, json.loads(custom) if custom != "{}" else {})
        for user, role, card, floor, muted, joined, custom in (yield Run(_MEMBERS, (group_id,)))
    }
    wishes = yield Run(
        "SELECT user_id, inviter, wording, time FROM group_applications WHERE group_id=? ORDER BY time, user_id", (group_id,)
    )
    applications = {user: GroupApplication(*rest) for user, *rest in wishes}
    known_as, type, name, owner, created, version, facts = row
    return Group(known_as, type, name, owner, created, members, applications=applications, version=version, **json.loads(facts))


def places_of(user: str) -> Steps[dict[str, int]]:
    rows = yield Run("SELECT group_id, floor FROM members WHERE user_id=?", (user,))
    return {group_id: floor for group_id, floor in rows}  # noqa: C416  a row is no pair to mypy


def group_ids_of(user: str) -> Steps[list[str]]:
    rows = yield Run("SELECT group_id FROM members WHERE user_id=? ORDER BY group_id", (user,))
    return [group_id for (group_id,) in rows]


def groups_of(user: str) -> Steps[list[Group]]:
    groups = []
    for group_id in (yield from group_ids_of(user)):
        known = yield from group(group_id)
        if known is not None:
            groups.append(known)
    return groups


def circle(user: str) -> Steps[Circle]:
    friends = yield Run(
        "SELECT peer, remark, friend_groups, source, wording, added FROM friends WHERE owner=? ORDER BY added, peer", (user,)
    )
    blocked = yield Run("SELECT peer, time FROM blacklist WHERE owner=? ORDER BY time, peer", (user,))
    names = yield Run("SELECT name FROM friend_groups WHERE owner=? ORDER BY position", (user,))
    listed = yield Run("SELECT owner FROM friends WHERE peer=?", (user,))
    asked = yield Run("SELECT peer, facts FROM applications WHERE owner=?", (user,))
    version = yield Run("SELECT version FROM circles WHERE user_id=?", (user,))
    asking = yield Run("SELECT owner, facts FROM applications WHERE peer=?", (user,))
    return Circle(
        friends={peer: Friend(remark, tuple(json.loads(groups)), *rest) for peer, remark, groups, *rest in friends},
        friend_groups=[name for (name,) in names],
        blocked={peer: time for peer, time in blocked},  # noqa: C416  a row is no pair to mypy
        asked=_applications(asked),
        asking=_applications(asking),
        listed_by={owner for (owner,) in listed},
        version=version[0][0] if version else 0,
    )


def _applications(rows: Iterable[Row]) -> dict[str, Application]:
    known = {user: Application(**json.loads(facts)) for user, facts in rows}
    return dict(sorted(known.items(), key=lambda item: (item[1].time, item[0])))


def _facts(group: Group) -> str:
    return json.dumps({name: value for name in GROUP_FACTS if (value := getattr(group, name))})


def _timeline(group_id: str) -> Steps[Row]:
    """The number of a group's timeline, and its last seq."""
    row = yield from one("SELECT id, last_seq FROM timelines WHERE name=?", f"group\x1f{group_id}")
    assert row is not None
    return row


def _create(group: Group) -> Steps[None]:
    made = yield Run(
        "INSERT INTO groups(group_id, type, name, owner, created, facts) VALUES(?,?,?,?,?,?)"
        " ON CONFLICT(group_id) DO NOTHING RETURNING group_id",
        (group.group_id, group.type, group.name, group.owner, group.created, _facts(group)),
    )
    if not made:
        raise GroupExists(f"the group id {group.group_id!r} is taken")
    yield Run("INSERT INTO timelines(name, last_time) VALUES(?,?)", (f"group\x1f{group.group_id}", group.created))
    yield from _add(group.group_id, group.members, from_now=False)


def _add(group_id: str, members: Mapping[str, Member], *, from_now: bool) -> Steps[None]:
    timeline, last_seq = yield from _timeline(group_id)
    row = yield from one("SELECT coalesce(max(position), -1) + 1 FROM members WHERE group_id=?", group_id)
    assert row is not None
    rows = [(user, member, last_seq + 1 if from_now else member.floor) for user, member in members.items()]
    yield RunMany(
        "INSERT INTO members(group_id, user_id, position, role, name_card, floor, muted_until, joined, custom)"
        " VALUES(?,?,?,?,?,?,?,?,?)",
        [
            (group_id, user, n, m.role, m.name_card, floor, m.muted_until, m.joined, json.dumps(m.custom))
            for n, (user, m, floor) in enumerate(rows, row[0])
        ],
    )
    # what was said before they came is not unread
    yield RunMany(
        "INSERT INTO contacts(user_id, timeline, read_seq, floor) VALUES(?,?,?,?)"
        " ON CONFLICT(user_id, timeline) DO UPDATE SET read_seq=excluded.read_seq, floor=excluded.floor",
        [(user, timeline, last_seq, floor) for user, _, floor in rows],
    )


def _remove(group_id: str, users: Iterable[str]) -> Steps[None]:
    timeline, _ = yield from _timeline(group_id)
    gone = list(users)
    yield RunMany("DELETE FROM members WHERE group_id=? AND user_id=?", [(group_id, user) for user in gone])
    yield RunMany("DELETE FROM contacts WHERE user_id=? AND timeline=?", [(user, timeline) for user in gone])

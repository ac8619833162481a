"""People and groups in SQL: what changes them, and what reads them. Portable but for the placeholders and JSON text."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import asdict

from ...errors import GroupExists
from . import changes as ch
from .facts import GROUP_FACTS, Account, Application, Circle, Friend, Group, GroupApplication, Member

SCHEMA_2 = """
ALTER TABLE accounts ADD COLUMN allow_type TEXT NOT NULL DEFAULT '';
ALTER TABLE accounts ADD COLUMN details TEXT NOT NULL DEFAULT '{}';
ALTER TABLE accounts ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE groups ADD COLUMN facts TEXT NOT NULL DEFAULT '{}';
ALTER TABLE groups ADD COLUMN dissolved INTEGER NOT NULL DEFAULT 0;
ALTER TABLE members ADD COLUMN muted_until INTEGER NOT NULL DEFAULT 0;
ALTER TABLE members ADD COLUMN joined INTEGER NOT NULL DEFAULT 0;
ALTER TABLE members ADD COLUMN custom TEXT NOT NULL DEFAULT '{}';
CREATE INDEX members_position ON members(group_id, position);
CREATE TABLE group_applications(group_id TEXT NOT NULL, user_id TEXT NOT NULL, inviter TEXT NOT NULL, wording TEXT NOT NULL,
  time INTEGER NOT NULL, PRIMARY KEY(group_id, user_id)) WITHOUT ROWID;
CREATE TABLE friends(owner TEXT NOT NULL, peer TEXT NOT NULL, remark TEXT NOT NULL, friend_groups TEXT NOT NULL,
  source TEXT NOT NULL, wording TEXT NOT NULL, added INTEGER NOT NULL, PRIMARY KEY(owner, peer)) WITHOUT ROWID;
CREATE INDEX friends_peer ON friends(peer, owner);
CREATE TABLE friend_groups(owner TEXT NOT NULL, position INTEGER NOT NULL, name TEXT NOT NULL,
  PRIMARY KEY(owner, position)) WITHOUT ROWID;
CREATE TABLE applications(owner TEXT NOT NULL, peer TEXT NOT NULL, facts TEXT NOT NULL, PRIMARY KEY(owner, peer)) WITHOUT ROWID;
CREATE INDEX applications_peer ON applications(peer, owner);
CREATE TABLE blacklist(owner TEXT NOT NULL, peer TEXT NOT NULL, time INTEGER NOT NULL,
  PRIMARY KEY(owner, peer)) WITHOUT ROWID;
"""
_GROUP = "SELECT group_id, type, name, owner, created, facts FROM groups WHERE group_id=? AND dissolved=0"
_MEMBERS = (
    "SELECT user_id, role, name_card, floor, muted_until, joined, custom FROM members WHERE group_id=?"
    " ORDER BY position, user_id"
)


def carry_out(connection: sqlite3.Connection, change: ch.Change) -> None:
    """Write one change. Raises GroupExists."""
    run = connection.execute
    match change:
        case ch.SetAccount(account):
            run(
                "UPDATE accounts SET nickname=?, face_url=?, custom=?, allow_type=?, details=?, version=? WHERE user_id=?",
                (
                    account.nickname,
                    account.face_url,
                    json.dumps(account.custom),
                    account.allow_type,
                    json.dumps(account.details),
                    account.version,
                    account.user_id,
                ),
            )
        case ch.CreateGroup(group):
            _create(connection, group)
        case ch.SetGroup(group):
            run(
                "UPDATE groups SET name=?, owner=?, facts=? WHERE group_id=?",
                (group.name, group.owner, _facts(group), group.group_id),
            )
        case ch.DissolveGroup(group_id, users):
            run("UPDATE groups SET dissolved=1 WHERE group_id=?", (group_id,))
            run("DELETE FROM group_applications WHERE group_id=?", (group_id,))
            _remove(connection, group_id, users)
        case ch.AddMembers(group_id, members, from_now):
            _add(connection, group_id, members, from_now=from_now)
        case ch.SetMember(group_id, user, member):
            run(
                "UPDATE members SET role=?, name_card=?, muted_until=?, custom=? WHERE group_id=? AND user_id=?",
                (member.role, member.name_card, member.muted_until, json.dumps(member.custom), group_id, user),
            )
        case ch.RemoveMembers(group_id, users):
            _remove(connection, group_id, users)
        case ch.SetGroupApplication(group_id, user, wish):
            run(
                "INSERT INTO group_applications VALUES(?,?,?,?,?) ON CONFLICT(group_id, user_id) DO UPDATE SET"
                " inviter=excluded.inviter, wording=excluded.wording, time=excluded.time",
                (group_id, user, wish.inviter, wish.wording, wish.time),
            )
        case ch.RemoveGroupApplication(group_id, user):
            run("DELETE FROM group_applications WHERE group_id=? AND user_id=?", (group_id, user))
        case ch.SetFriend(owner, peer, friend):
            run(
                "INSERT INTO friends VALUES(?,?,?,?,?,?,?) ON CONFLICT(owner, peer) DO UPDATE SET"
                " remark=excluded.remark, friend_groups=excluded.friend_groups",
                (owner, peer, friend.remark, json.dumps(friend.groups), friend.source, friend.wording, friend.added),
            )
        case ch.RemoveFriend(owner, peer):
            run("DELETE FROM friends WHERE owner=? AND peer=?", (owner, peer))
        case ch.SetApplication(owner, peer, application):
            run(
                "INSERT INTO applications VALUES(?,?,?) ON CONFLICT(owner, peer) DO UPDATE SET facts=excluded.facts",
                (owner, peer, json.dumps(asdict(application))),
            )
        case ch.RemoveApplication(owner, peer):
            run("DELETE FROM applications WHERE owner=? AND peer=?", (owner, peer))
        case ch.SetBlocked(owner, peer, time):
            run("INSERT INTO blacklist VALUES(?,?,?) ON CONFLICT(owner, peer) DO NOTHING", (owner, peer, time))
        case ch.RemoveBlocked(owner, peer):
            run("DELETE FROM blacklist WHERE owner=? AND peer=?", (owner, peer))
        case ch.SetFriendGroups(owner, names):
            run("DELETE FROM friend_groups WHERE owner=?", (owner,))
            connection.executemany("INSERT INTO friend_groups VALUES(?,?,?)", [(owner, i, n) for i, n in enumerate(names)])


def account(connection: sqlite3.Connection, user: str) -> Account | None:
    row = connection.execute(
        "SELECT user_id, tiny_id, nickname, face_url, custom, allow_type, details, version FROM accounts WHERE user_id=?",
        (user,),
    ).fetchone()
    if row is None:
        return None
    known_as, tiny_id, nickname, face_url, custom, allow_type, details, version = row
    return Account(known_as, tiny_id, nickname, face_url, json.loads(custom), allow_type, json.loads(details), version)


def group(connection: sqlite3.Connection, group_id: str) -> Group | None:
    row = connection.execute(_GROUP, (group_id,)).fetchone()
    if row is None:
        return None
    members = {
        user: Member(role, card, floor, muted, joined, json.loads(custom) if custom != "{}" else {})
        for user, role, card, floor, muted, joined, custom in connection.execute(_MEMBERS, (group_id,))
    }
    wishes = connection.execute(
        "SELECT user_id, inviter, wording, time FROM group_applications WHERE group_id=? ORDER BY time, user_id", (group_id,)
    )
    applications = {user: GroupApplication(*rest) for user, *rest in wishes}
    known_as, type, name, owner, created, facts = row
    return Group(known_as, type, name, owner, created, members, applications=applications, **json.loads(facts))


def group_ids_of(connection: sqlite3.Connection, user: str) -> list[str]:
    rows = connection.execute("SELECT group_id FROM members WHERE user_id=? ORDER BY group_id", (user,))
    return [group_id for (group_id,) in rows]


def circle(connection: sqlite3.Connection, user: str) -> Circle:
    def rows(sql: str) -> Iterable[tuple[str, str]]:
        return connection.execute(sql, (user,)).fetchall()

    friends = connection.execute(
        "SELECT peer, remark, friend_groups, source, wording, added FROM friends WHERE owner=? ORDER BY added, peer", (user,)
    )
    blocked = connection.execute("SELECT peer, time FROM blacklist WHERE owner=? ORDER BY time, peer", (user,))
    names = connection.execute("SELECT name FROM friend_groups WHERE owner=? ORDER BY position", (user,))
    listed = connection.execute("SELECT owner FROM friends WHERE peer=?", (user,))
    return Circle(
        friends={peer: Friend(remark, tuple(json.loads(groups)), *rest) for peer, remark, groups, *rest in friends},
        friend_groups=[name for (name,) in names],
        blocked=dict(blocked.fetchall()),
        asked=_applications(rows("SELECT peer, facts FROM applications WHERE owner=?")),
        asking=_applications(rows("SELECT owner, facts FROM applications WHERE peer=?")),
        listed_by={owner for (owner,) in listed},
    )


def _applications(rows: Iterable[tuple[str, str]]) -> dict[str, Application]:
    known = {user: Application(**json.loads(facts)) for user, facts in rows}
    return dict(sorted(known.items(), key=lambda item: (item[1].time, item[0])))


def _facts(group: Group) -> str:
    return json.dumps({name: value for name in GROUP_FACTS if (value := getattr(group, name))})


def _timeline(connection: sqlite3.Connection, group_id: str) -> tuple[int, int]:
    """The number of a group's timeline, and its last seq."""
    row: tuple[int, int] = connection.execute(
        "SELECT id, last_seq FROM timelines WHERE name=?", (f"group\x1f{group_id}",)
    ).fetchone()
    return row


def _create(connection: sqlite3.Connection, group: Group) -> None:
    try:
        connection.execute(
            "INSERT INTO groups(group_id, type, name, owner, created, facts) VALUES(?,?,?,?,?,?)",
            (group.group_id, group.type, group.name, group.owner, group.created, _facts(group)),
        )
    except sqlite3.IntegrityError:
        raise GroupExists(f"the group id {group.group_id!r} is taken") from None
    connection.execute("INSERT INTO timelines(name, last_time) VALUES(?,?)", (f"group\x1f{group.group_id}", group.created))
    _add(connection, group.group_id, group.members, from_now=False)


def _add(connection: sqlite3.Connection, group_id: str, members: Mapping[str, Member], *, from_now: bool) -> None:
    timeline, last_seq = _timeline(connection, group_id)
    position = connection.execute(
        "SELECT coalesce(max(position), -1) + 1 FROM members WHERE group_id=?", (group_id,)
    ).fetchone()[0]
    rows = [(user, member, last_seq + 1 if from_now else member.floor) for user, member in members.items()]
    connection.executemany(
        "INSERT INTO members(group_id, user_id, position, role, name_card, floor, muted_until, joined, custom)"
        " VALUES(?,?,?,?,?,?,?,?,?)",
        [
            (group_id, user, n, m.role, m.name_card, floor, m.muted_until, m.joined, json.dumps(m.custom))
            for n, (user, m, floor) in enumerate(rows, position)
        ],
    )
    # what was said before they came is not unread
    connection.executemany(
        "INSERT INTO contacts(user_id, timeline, read_seq, floor) VALUES(?,?,?,?)"
        " ON CONFLICT(user_id, timeline) DO UPDATE SET read_seq=excluded.read_seq, floor=excluded.floor",
        [(user, timeline, last_seq, floor) for user, _, floor in rows],
    )


def _remove(connection: sqlite3.Connection, group_id: str, users: Iterable[str]) -> None:
    timeline, _ = _timeline(connection, group_id)
    gone = list(users)
    connection.executemany("DELETE FROM members WHERE group_id=? AND user_id=?", [(group_id, user) for user in gone])
    connection.executemany("DELETE FROM contacts WHERE user_id=? AND timeline=?", [(user, timeline) for user in gone])

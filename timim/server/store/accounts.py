"""Accounts and their relationships in SQL: friends, friend groups, applications, blacklists."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from functools import partial

from . import mutations as ch
from .entities import ReadVersions, Relationships, StoredAccount, StoredApplication, StoredFriend
from .entries import system_timeline
from .operation import Execute, ExecuteMany, Operation, Row, SqlEngine, first_row


class AccountStore:
    """Accounts, and each account's relationships. Every method may raise StorageError."""

    def __init__(self, engine: SqlEngine) -> None:
        self._engine = engine

    async def get(self, user: str) -> StoredAccount | None:
        """Return an account, or None if it does not exist."""
        return await self._engine.read(partial(account, user))

    async def ensure(self, user: str, *, nickname: str = "", face_url: str = "") -> StoredAccount:
        """Return an account, after creating it if it does not exist and setting the given values."""
        if (known := await self.get(user)) is not None and not nickname and not face_url:
            return known
        return await self._engine.write(partial(ensure_account, user, nickname, face_url))

    async def blockers(self, user: str) -> list[str]:
        """Return the users who have this user on their blacklists."""
        return await self._engine.read(partial(blockers, user))

    async def relationships(self, user: str) -> Relationships:
        """Return a user's relationships, empty for a user who has none."""
        return await self._engine.read(partial(relationships, user))


def check_versions(read: ReadVersions) -> Operation[None]:
    """Increase the versions of these relationships and lock their rows until the commit. Raises StaleRead."""
    for user, version in sorted(read.relationships.items()):
        same = yield Execute(
            "INSERT INTO circles(user_id, version) VALUES(?,1) ON CONFLICT(user_id) DO UPDATE SET version=circles.version+1"
            " WHERE circles.version=? RETURNING version",
            (user, version),
        )
        if not same or same[0][0] != version + 1:
            raise ch.StaleRead(f"the relationships of {user!r} were changed by another node")


def apply(change: ch.AccountChange | ch.RelationshipChange) -> Operation[None]:
    """Write one change of an account or its relationships. Raises StaleRead."""
    match change:
        case ch.SetAccount(account):
            same = yield Execute(
                "UPDATE accounts SET nickname=?, face_url=?, custom=?, allow_type=?, details=?, muted_c2c=?, muted_groups=?,"
                " status=?, watched=?, version=? WHERE user_id=? AND version<? AND deleted<>1 RETURNING version",
                (
                    account.nickname,
                    account.face_url,
                    json.dumps(account.custom),
                    account.allow_type,
                    json.dumps(account.details),
                    account.muted_c2c,
                    account.muted_groups,
                    account.status,
                    json.dumps(account.watched),
                    account.version,
                    account.user_id,
                    account.version,
                ),
            )
            if not same:
                raise ch.StaleRead(f"account {account.user_id!r} was changed by another node")
        case ch.DeleteAccount(account):
            yield from _delete(account)
        case ch.SetFriend(owner, peer, friend):
            yield Execute(
                "INSERT INTO friends VALUES(?,?,?,?,?,?,?) ON CONFLICT(owner, peer) DO UPDATE SET"
                " remark=excluded.remark, friend_groups=excluded.friend_groups",
                (owner, peer, friend.remark, json.dumps(friend.groups), friend.source, friend.wording, friend.added),
            )
        case ch.RemoveFriend(owner, peer):
            yield Execute("DELETE FROM friends WHERE owner=? AND peer=?", (owner, peer))
        case ch.SetApplication(owner, peer, application):
            yield Execute(
                "INSERT INTO applications VALUES(?,?,?) ON CONFLICT(owner, peer) DO UPDATE SET facts=excluded.facts",
                (owner, peer, json.dumps(asdict(application))),
            )
        case ch.RemoveApplication(owner, peer):
            yield Execute("DELETE FROM applications WHERE owner=? AND peer=?", (owner, peer))
        case ch.SetBlocked(owner, peer, time):
            yield Execute("INSERT INTO blacklist VALUES(?,?,?) ON CONFLICT(owner, peer) DO NOTHING", (owner, peer, time))
        case ch.RemoveBlocked(owner, peer):
            yield Execute("DELETE FROM blacklist WHERE owner=? AND peer=?", (owner, peer))
        case ch.SetFriendGroups(owner, names):
            yield Execute("DELETE FROM friend_groups WHERE owner=?", (owner,))
            yield ExecuteMany("INSERT INTO friend_groups VALUES(?,?,?)", [(owner, i, n) for i, n in enumerate(names)])


def account(user: str) -> Operation[StoredAccount | None]:
    row = yield from first_row(
        "SELECT user_id, tiny_id, nickname, face_url, custom, allow_type, details, version, muted_c2c, muted_groups, deleted,"
        " status, watched FROM accounts WHERE user_id=? AND deleted<>1",
        user,
    )
    if row is None:
        return None
    known_as, tiny_id, nickname, face_url, custom, allow_type, details, version, muted_c2c, muted_groups, deleted, *rest = row
    status, watched = rest
    return StoredAccount(
        known_as,
        tiny_id,
        nickname,
        face_url,
        json.loads(custom),
        allow_type,
        json.loads(details),
        version,
        muted_c2c,
        muted_groups,
        renewed=bool(deleted),
        status=status,
        watched=tuple(json.loads(watched)),
    )


def _delete(account: StoredAccount) -> Operation[None]:
    """Empty the row of an account, and hide its conversations. Raises StaleRead."""
    same = yield Execute(
        "UPDATE accounts SET nickname='', face_url='', custom='{}', allow_type='', details='{}', muted_c2c=0, muted_groups=0,"
        " status='', watched='[]', deleted=1, version=version+1 WHERE user_id=? AND version=? AND deleted<>1 RETURNING version",
        (account.user_id, account.version),
    )
    if not same:
        raise ch.StaleRead(f"account {account.user_id!r} was changed by another node")
    last = "(SELECT t.last_seq FROM timelines t WHERE t.id=contacts.timeline)"
    yield Execute(  # the rows stay, because a conversation gets them with its first message only
        f"UPDATE contacts SET read_seq={last}, floor={last}+1, read_time=0, peer_read_seq=0, pinned=0, muted=0, draft='',"
        " settings_version=settings_version+1, settings_changed='{}', reset_version=0 WHERE user_id=?",
        (account.user_id,),
    )
    own = system_timeline(account.user_id)
    yield Execute("DELETE FROM entries WHERE timeline=(SELECT id FROM timelines WHERE name=?)", (own,))
    yield Execute("UPDATE timelines SET floor=last_seq+1 WHERE name=?", (own,))
    yield Execute("DELETE FROM places WHERE user_id=?", (account.user_id,))
    yield Execute("DELETE FROM follows WHERE follower=? OR followed=?", (account.user_id, account.user_id))
    yield Execute("DELETE FROM conversation_labels WHERE user_id=?", (account.user_id,))
    yield Execute("DELETE FROM conversation_groups WHERE user_id=?", (account.user_id,))
    yield Execute("DELETE FROM quiet_times WHERE user_id=?", (account.user_id,))
    yield Execute("DELETE FROM deletions WHERE user_id=?", (account.user_id,))


def ensure_account(user: str, nickname: str, face_url: str) -> Operation[StoredAccount]:
    """Select an account, after inserting it if it does not exist and setting the given values."""
    known = yield from account(user)
    if known is None:
        row = yield from first_row(
            "UPDATE meta SET value=CAST(CAST(value AS BIGINT)+1 AS TEXT) WHERE key='last_tiny_id' RETURNING value"
        )
        assert row is not None
        yield Execute(
            "INSERT INTO accounts(user_id, tiny_id, nickname, face_url, custom) VALUES(?,?,?,?,'{}')"
            " ON CONFLICT(user_id) DO UPDATE SET deleted=2, version=accounts.version+1 WHERE accounts.deleted=1",
            (user, int(row[0]), nickname, face_url),
        )
        known = yield from account(user)  # another node may have inserted the account first
    assert known is not None
    wanted = replace(known, nickname=nickname or known.nickname, face_url=face_url or known.face_url)
    if wanted != known:
        yield Execute(
            "UPDATE accounts SET nickname=?, face_url=?, version=version+1 WHERE user_id=?",
            (wanted.nickname, wanted.face_url, user),
        )
        wanted = replace(wanted, version=known.version + 1)
    return wanted


def relationships(user: str) -> Operation[Relationships]:
    friends = yield Execute(
        "SELECT peer, remark, friend_groups, source, wording, added FROM friends WHERE owner=? ORDER BY added, peer", (user,)
    )
    blocked = yield Execute("SELECT peer, time FROM blacklist WHERE owner=? ORDER BY time, peer", (user,))
    names = yield Execute("SELECT name FROM friend_groups WHERE owner=? ORDER BY position", (user,))
    listed = yield Execute("SELECT owner FROM friends WHERE peer=?", (user,))
    asked = yield Execute("SELECT peer, facts FROM applications WHERE owner=?", (user,))
    version = yield Execute("SELECT version FROM circles WHERE user_id=?", (user,))
    asking = yield Execute("SELECT owner, facts FROM applications WHERE peer=?", (user,))
    return Relationships(
        friends={peer: StoredFriend(remark, tuple(json.loads(groups)), *rest) for peer, remark, groups, *rest in friends},
        friend_groups=[name for (name,) in names],
        blocked={peer: time for peer, time in blocked},  # noqa: C416  a row is no pair to mypy
        received_requests=_applications(asked),
        sent_requests=_applications(asking),
        listed_by={owner for (owner,) in listed},
        version=version[0][0] if version else 0,
    )


def blockers(user: str) -> Operation[list[str]]:
    rows = yield Execute("SELECT owner FROM blacklist WHERE peer=? ORDER BY owner", (user,))
    return [owner for (owner,) in rows]


def _applications(rows: Iterable[Row]) -> dict[str, StoredApplication]:
    known = {user: StoredApplication(**json.loads(facts)) for user, facts in rows}
    return dict(sorted(known.items(), key=lambda item: (item[1].time, item[0])))

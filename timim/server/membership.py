"""Facts of accounts, groups and circles of relations, kept in memory once asked for; no I/O but the store's.

Invariant: what is cached here is written through here, so it never disagrees with the store of a one-process server. A
plan's changes are in the cache before anything else can be decided; when the store then fails, they are forgotten.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import replace
from typing import TypeVar

from ..errors import NotAMember, TimimError, UnknownGroup, UnknownUser
from .store import changes as ch
from .store.base import Account, Appended, Change, Circle, Group, NewEntry, Store, group_timeline

T = TypeVar("T")

CACHE_LIMIT = 100_000  # of each kind: some 50 MB at the most; the oldest go first
NOT_YET = 1 << 62  # a floor that only the commit will know: until then its member reads nothing


class Directory:
    """Accounts, groups and circles, by id."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._accounts: dict[str, Account] = {}
        self._groups: dict[str, Group] = {}
        self._circles: dict[str, Circle] = {}
        self._ended: dict[str, None] = {}  # groups that were dissolved: a read under way must not bring one back
        self._under_way = 0  # plans whose commit is awaited
        self._doubtful: list[Change] = []  # of failed plans: forgotten again until nothing is under way

    async def account(self, user: str) -> Account:
        """Raises UnknownUser."""
        account = self._accounts.get(user)
        if account is None:
            account = await self._store.account(user)
            if account is None:
                raise UnknownUser(f"there is no account {user!r}: it exists from its first login on")
            account = _keep(self._accounts, user, account)
        return account

    async def ensure_account(self, user: str, *, nickname: str = "", face_url: str = "") -> Account:
        """The account, made when there is none."""
        account = await self._store.ensure_account(user, nickname=nickname, face_url=face_url)
        if nickname or face_url:
            self._accounts.pop(user, None)
        return _keep(self._accounts, user, account)

    async def group(self, group_id: str) -> Group:
        """Raises UnknownGroup. The latest there is, as long as nothing is awaited after it."""
        group = self._groups.get(group_id)
        if group is None:
            group = await self._store.group(group_id)
            if group is None or group_id in self._ended:
                raise UnknownGroup(f"there is no group {group_id!r}")
            group = _keep(self._groups, group_id, group)
        return group

    async def group_for(self, user: str, group_id: str) -> Group:
        """The group, for one of its members. Raises UnknownGroup, NotAMember."""
        group = await self.group(group_id)
        if user not in group.members:
            raise NotAMember(f"{user!r} is not in group {group_id!r}")
        return group

    async def circle(self, user: str) -> Circle:
        """The user's relations, always the same object while it is cached."""
        circle = self._circles.get(user)
        if circle is None:
            circle = _keep(self._circles, user, await self._store.circle(user))
        return circle

    async def create_group(self, group: Group) -> None:
        """Raises GroupExists."""
        await self.apply([ch.CreateGroup(group)], [])

    def apply(self, changes: Sequence[Change], entries: Sequence[NewEntry]) -> Awaitable[list[Appended]]:
        """Carry out a plan: the cache before this returns, the store in one transaction that the result waits for.

        Raises (when awaited) GroupExists, StorageError. Whoever waits must not be cancelled: the cache is settled then.
        """
        stored = self._store.apply(changes, entries)
        self._under_way += 1
        for change in changes:
            self._take(change)
        return self._commit(changes, entries, stored)

    async def _commit(
        self, changes: Sequence[Change], entries: Sequence[NewEntry], stored: Awaitable[list[Appended]]
    ) -> list[Appended]:
        try:
            appended = await stored
        except TimimError:
            self._doubtful += changes
            raise
        finally:
            self._under_way -= 1
            for change in self._doubtful:
                self._forget(change)
            if not self._under_way:
                self._doubtful.clear()
        seqs = {entry.timeline: done.seq for entry, done in zip(reversed(entries), reversed(appended), strict=True)}
        for change in changes:
            self._settle(change, seqs)
        return appended

    def _take(self, change: Change) -> None:
        match change:
            case ch.SetAccount(account):
                self._accounts[account.user_id] = account
            case ch.CreateGroup():
                pass  # it is there once the store took its id
            case ch.SetGroup(group):
                self._groups[group.group_id] = group
            case ch.DissolveGroup(group_id, _):
                self._groups.pop(group_id, None)
                _keep(self._ended, group_id, None)
            case ch.AddMembers(group_id, members, from_now):
                group = self._groups[group_id]
                for user, member in members.items():
                    group.members[user] = replace(member, floor=NOT_YET) if from_now else member
            case ch.SetMember(group_id, user, member):
                self._groups[group_id].members[user] = member
            case ch.RemoveMembers(group_id, users):
                for user in users:
                    self._groups[group_id].members.pop(user, None)
            case ch.SetGroupApplication(group_id, user, wish):
                self._groups[group_id].applications[user] = wish
            case ch.RemoveGroupApplication(group_id, user):
                self._groups[group_id].applications.pop(user, None)
            case _:
                _turn(self._circles, change)

    def _settle(self, change: Change, seqs: dict[str, int]) -> None:
        if isinstance(change, ch.CreateGroup):
            _keep(self._groups, change.group.group_id, change.group)
        elif isinstance(change, ch.AddMembers) and change.from_now:
            group = self._groups.get(change.group_id)
            first = seqs[group_timeline(change.group_id)]
            for user in change.members if group is not None else ():
                assert group is not None
                member = group.members.get(user)
                if member is not None and member.floor == NOT_YET:
                    group.members[user] = replace(member, floor=first)

    def _forget(self, change: Change) -> None:
        match change:
            case ch.SetAccount(account):
                self._accounts.pop(account.user_id, None)
            case ch.CreateGroup():
                pass
            case ch.SetGroup(group):
                self._groups.pop(group.group_id, None)
            case ch.DissolveGroup(group_id):
                self._ended.pop(group_id, None)
            case (
                ch.AddMembers(group_id)
                | ch.SetMember(group_id)
                | ch.RemoveMembers(group_id)
                | ch.SetGroupApplication(group_id)
                | ch.RemoveGroupApplication(group_id)
            ):
                self._groups.pop(group_id, None)
            case ch.SetFriendGroups(owner, _):
                self._circles.pop(owner, None)
            case _:
                self._circles.pop(change.owner, None)
                self._circles.pop(change.peer, None)


def _turn(circles: dict[str, Circle], change: ch.CircleChange) -> None:
    """Change the circles that are in memory: those of the plan were read before it was made."""
    mine = circles.get(change.owner) or Circle()
    theirs = Circle() if isinstance(change, ch.SetFriendGroups) else circles.get(change.peer) or Circle()
    match change:
        case ch.SetFriend(owner, peer, friend):
            mine.friends[peer] = friend
            theirs.listed_by.add(owner)
        case ch.RemoveFriend(owner, peer):
            mine.friends.pop(peer, None)
            theirs.listed_by.discard(owner)
        case ch.SetApplication(owner, peer, application):
            mine.asked[peer] = application
            theirs.asking[owner] = application
        case ch.RemoveApplication(owner, peer):
            mine.asked.pop(peer, None)
            theirs.asking.pop(owner, None)
        case ch.SetBlocked(_, peer, time):
            mine.blocked[peer] = time
        case ch.RemoveBlocked(_, peer):
            mine.blocked.pop(peer, None)
        case ch.SetFriendGroups(_, names):
            mine.friend_groups[:] = names


def _keep(cache: dict[str, T], key: str, value: T) -> T:
    """What the cache holds under `key`: `value`, or what somebody else put there meanwhile."""
    if key in cache:
        return cache[key]
    if len(cache) >= CACHE_LIMIT:
        del cache[next(iter(cache))]
    cache[key] = value
    return value

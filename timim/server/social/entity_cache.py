"""Facts of accounts, groups and circles of relations, kept in memory once asked for; no I/O but the store's.

Invariant: a plan's changes are in the cache before anything else can be decided here; when the store then fails, they are
forgotten. What another node changed is forgotten when it says so (`learn`), and a plan decided by what it had not said
yet is refused by the store (Stale), forgotten and decided again: see docs/cluster.md.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from ...errors import NotAMember, TimimError, UnknownGroup, UnknownUser
from ..bus.base import Facts
from ..store import mutations as ch
from ..store.base import Account, Appended, Change, Circle, Decided, Group, NewEntry, Store, group_timeline

T = TypeVar("T")

CACHE_LIMIT = 100_000  # of each kind: some 50 MB at the most; the oldest go first
NOT_YET = 1 << 62  # a floor that only the commit will know: until then its member reads nothing


def _unheard(facts: Facts) -> None:
    """There is no other node."""


class Directory:
    """Accounts, groups and circles, by id. `announce` tells other nodes what was changed here."""

    def __init__(self, store: Store, announce: Callable[[Facts], None] = _unheard) -> None:
        self._store = store
        self._announce = announce
        self._trusting = True  # other nodes can say what they change
        self._learned = 0  # how often something was forgotten: what was read meanwhile may be old
        self._old: set[tuple[str, str]] = set()  # cached, and read again before it is used again
        self._accounts: dict[str, Account] = {}
        self._groups: dict[str, Group] = {}
        self._circles: dict[str, Circle] = {}
        self._ended: dict[str, None] = {}  # groups that were dissolved: a read under way must not bring one back
        self._under_way = 0  # plans whose commit is awaited
        self._doubtful: list[Change] = []  # of failed plans: forgotten again until nothing is under way

    async def account(self, user: str) -> Account:
        """Raises UnknownUser."""
        account = self._accounts.get(user)
        if account is None or self._is_old("account", user):
            learned = self._learned
            account = await self._store.account(user)
            if account is None:
                raise UnknownUser(f"there is no account {user!r}: it exists from its first login on")
            account = self._kept(self._accounts, "account", user, account, learned)
        return account

    async def ensure_account(self, user: str, *, nickname: str = "", face_url: str = "") -> Account:
        """The account, made when there is none."""
        known = self._accounts.get(user)
        if known is not None and not nickname and not face_url and not self._is_old("account", user):
            return known  # back after a cut, as thousands at once may be
        learned = self._learned
        account = await self._store.ensure_account(user, nickname=nickname, face_url=face_url)
        if nickname or face_url:
            self._accounts.pop(user, None)
            self._announce(Facts(accounts=[user]))
        return self._kept(self._accounts, "account", user, account, learned)

    async def group(self, group_id: str) -> Group:
        """Raises UnknownGroup. The latest there is, as long as nothing is awaited after it."""
        group = self._groups.get(group_id)
        if group is None or self._is_old("group", group_id):
            learned = self._learned
            group = await self._store.group(group_id)
            if group is None or group_id in self._ended:
                self._groups.pop(group_id, None)
                raise UnknownGroup(f"there is no group {group_id!r}")
            group = self._kept(self._groups, "group", group_id, group, learned)
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
        if circle is None or self._is_old("circle", user):
            learned = self._learned
            found = await self._store.circle(user)
            known = self._circles.get(user)
            circle = self._kept(self._circles, "circle", user, found, learned)
            if known is not None and circle is found:
                circle = self._circles[user] = _become(known, found)
        return circle

    def learn(self, facts: Facts) -> None:
        """Another node changed these: forget them."""
        self._learned += 1
        self._forget_named(facts)

    def doubt(self, *, away: bool) -> None:
        """Other nodes may have changed anything; while they are `away`, everything is read each time it is used."""
        self._learned += 1
        self._trusting = not away
        self._old |= {("account", user) for user in self._accounts}
        self._old |= {("group", group_id) for group_id in self._groups}
        self._old |= {("circle", user) for user in self._circles}

    def _forget_named(self, facts: Facts) -> None:
        self._old |= {("account", user) for user in facts.accounts if user in self._accounts}
        self._old |= {("group", group_id) for group_id in facts.groups if group_id in self._groups}
        self._old |= {("circle", user) for user in facts.circles if user in self._circles}

    def _is_old(self, kind: str, key: str) -> bool:
        return not self._trusting or (kind, key) in self._old

    def _kept(self, cache: dict[str, T], kind: str, key: str, value: T, learned: int) -> T:
        """What was just read, in the cache; when something was forgotten meanwhile, it is read again next time.

        While plans are under way here, what they put there is newer than what was read.
        """
        if key in cache and not self._is_old(kind, key):
            return cache[key]
        self._old.discard((kind, key))
        cache.pop(key, None)
        if learned != self._learned:
            self._old.add((kind, key))
        return _keep(cache, key, value)

    async def create_group(self, group: Group) -> None:
        """Raises GroupExists."""
        await self.apply([ch.CreateGroup(group)], [])

    def apply(self, changes: Sequence[Change], entries: Sequence[NewEntry]) -> Awaitable[list[Appended]]:
        """Carry out a plan: the cache before this returns, the store in one transaction that the result waits for.

        Raises (when awaited) GroupExists, StorageError. Whoever waits must not be cancelled: the cache is settled then.
        """
        decided = self._decided(changes)
        stored = self._store.apply(changes, entries, decided)
        self._under_way += 1
        for change in changes:
            self._take(change)
        self._count_on(decided)
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
        if changes:
            self._announce(_facts(changes, seqs))
        return appended

    def _decided(self, changes: Iterable[Change]) -> Decided:
        """What these changes were decided by, as it is in the cache now."""
        named = _named(changes)
        return Decided(
            {group_id: group.version for group_id in named.groups if (group := self._groups.get(group_id)) is not None},
            {user: circle.version for user in named.circles if (circle := self._circles.get(user)) is not None},
        )

    def _count_on(self, decided: Decided) -> None:
        for group_id, version in decided.groups.items():
            if group_id in self._groups:
                self._groups[group_id] = replace(self._groups[group_id], version=version + 1)
        for user, version in decided.circles.items():
            if user in self._circles:
                self._circles[user].version = version + 1

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
        if isinstance(change, ch.DissolveGroup):
            self._ended.pop(change.group_id, None)
        named = _named((change,))
        for user in named.accounts:
            self._accounts.pop(user, None)
        for group_id in named.groups:
            self._groups.pop(group_id, None)
        self._old |= {("circle", user) for user in named.circles if user in self._circles}


def _named(changes: Iterable[Change]) -> Facts:
    """What these changes change of what was there before; each once."""
    accounts: dict[str, None] = {}
    groups: dict[str, None] = {}
    circles: dict[str, None] = {}
    for change in changes:
        match change:
            case ch.SetAccount(account):
                accounts[account.user_id] = None
            case ch.CreateGroup():
                pass
            case ch.SetGroup(group):
                groups[group.group_id] = None
            case (
                ch.DissolveGroup(group_id)
                | ch.AddMembers(group_id)
                | ch.SetMember(group_id)
                | ch.RemoveMembers(group_id)
                | ch.SetGroupApplication(group_id)
                | ch.RemoveGroupApplication(group_id)
            ):
                groups[group_id] = None
            case ch.SetFriendGroups(owner, _):
                circles[owner] = None
            case _:
                circles[change.owner] = circles[change.peer] = None
    return Facts(accounts=list(accounts), groups=list(groups), circles=list(circles))


def _facts(changes: Sequence[Change], seqs: dict[str, int]) -> Facts:
    """What other nodes are told of changes that were stored."""
    facts = _named(changes)
    facts.came, facts.gone = {}, {}
    for change in changes:
        match change:
            case ch.CreateGroup(group):
                facts.came[group.group_id] = {user: member.floor for user, member in group.members.items()}
            case ch.AddMembers(group_id, members, from_now):
                first = seqs.get(group_timeline(group_id), 1)
                floors = {user: first if from_now else member.floor for user, member in members.items()}
                facts.came.setdefault(group_id, {}).update(floors)
            case ch.RemoveMembers(group_id, users) | ch.DissolveGroup(group_id, users):
                facts.gone.setdefault(group_id, []).extend(users)
            case _:
                pass
    return facts


def _become(known: Circle, found: Circle) -> Circle:
    """The same object with what was found: who holds it decides by it."""
    for name in Circle.__slots__:
        setattr(known, name, getattr(found, name))
    return known


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

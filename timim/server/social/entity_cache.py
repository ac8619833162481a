"""A cache of accounts, groups and relationships, filled from the store.

Invariant: the cache contains the changes of a changeset before this node can decide the next one, and drops them if the
store fails. Changes of another node invalidate cached entities. If a changeset was decided from an entity that is stale but
not invalidated yet, the store raises StaleRead, and the changeset is decided again: see docs/explanation/cluster.md.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

from ...errors import NotAMember, TimimError, UnknownGroup, UnknownUser
from ...ids import community_of
from ..bus.base import Bus, Invalidation
from ..store import mutations as ch
from ..store.base import (
    Appended,
    Change,
    NewCallback,
    NewEntry,
    ReadVersions,
    Relationships,
    StaleRead,
    Store,
    StoredAccount,
    StoredGroup,
    VersionCheck,
    VersionedKind,
    group_timeline,
)
from .cached_reads import CachedReads, current
from .invalidations import changed_entities, invalidation_of

T = TypeVar("T")
ACCOUNT, GROUP, RELATIONSHIPS = VersionedKind

CACHE_LIMIT = 100_000  # entities of each kind, at most about 50 MB; the oldest are evicted first
UNKNOWN_FLOOR = 1 << 62  # a first visible seq that only the commit determines: until then the member sees nothing


class CachedValues(NamedTuple):
    """The cached entities by their ids."""

    accounts: Mapping[str, StoredAccount]
    groups: Mapping[str, StoredGroup]
    relationships: Mapping[str, Relationships]


class EntityCache:
    """The cached accounts, groups and relationships of one node. Changes are announced to other nodes over the bus."""

    def __init__(self, store: Store, bus: Bus, *, shared: bool = False) -> None:
        """Create a cache; `shared` is True if other nodes change the entities of the same store."""
        self._store = store
        self._bus = bus
        self.shared = shared
        self._trusting = True  # False while other nodes cannot announce their changes
        self._invalidations = 0  # number of invalidations: an entity that was read during one may be stale
        self._stale: set[tuple[str, str]] = set()  # cached entities that must be read again before use
        self._accounts: dict[str, StoredAccount] = {}
        self._groups: dict[str, StoredGroup] = {}
        self._relationships: dict[str, Relationships] = {}
        self._dissolved: dict[str, None] = {}  # dissolved groups: a concurrent read must not cache one again
        self._under_way = 0  # number of changesets whose commit is awaited
        self._doubtful: list[Change] = []  # changes of failed changesets, evicted after each commit until none is awaited

    async def account(self, user: str) -> StoredAccount:
        """Return an account. Raises UnknownUser."""
        account = self._accounts.get(user)
        if account is None or self._is_stale("account", user):
            learned = self._invalidations
            account = await self._store.accounts.get(user)
            if account is None:
                raise UnknownUser(f"there is no account {user!r}; an account is created by its first login")
            account = self._cache_read(self._accounts, "account", user, account, learned)
            _note_read(ACCOUNT, user)
        elif self.shared:
            _note_use(ACCOUNT, user, account.version)
        return account

    async def ensure_account(self, user: str, *, nickname: str = "", face_url: str = "") -> StoredAccount:
        """Return an account with these values, after creating it if it does not exist."""
        known = self._accounts.get(user)
        if known is not None and not nickname and not face_url and not self._is_stale("account", user):
            return known  # without a read, because thousands of users may reconnect at the same time
        learned = self._invalidations
        account = await self._store.accounts.ensure(user, nickname=nickname, face_url=face_url)
        if nickname or face_url:
            self._accounts.pop(user, None)
            self._bus.announce(Invalidation(accounts=[user]))
        return self._cache_read(self._accounts, "account", user, account, learned)

    async def group(self, group_id: str) -> StoredGroup:
        """Return a group. The value may be stale as soon as the caller awaits something. Raises UnknownGroup."""
        group = self._groups.get(group_id)
        if group is None or self._is_stale("group", group_id):
            learned = self._invalidations
            group = await self._store.groups.get(group_id)
            if group is None or group_id in self._dissolved:
                self._groups.pop(group_id, None)
                raise UnknownGroup(f"there is no group {group_id!r}")
            group = self._cache_read(self._groups, "group", group_id, group, learned)
            _note_read(GROUP, group_id)
        elif self.shared:
            _note_use(GROUP, group_id, group.version)
        return group

    def cached(self) -> CachedValues:
        """Return the values in the cache, from which a changeset was decided; they change with the next changeset."""
        return CachedValues(self._accounts, self._groups, self._relationships)

    async def current_group(self, group_id: str) -> StoredGroup:
        """Return a group or a topic with all changes that had returned before, on any node. Raises UnknownGroup."""
        with CachedReads() as reads:
            group = await self.group_or_topic(group_id)
            return await self.group_or_topic(group_id) if await self.is_outdated(reads) else group

    async def group_or_topic(self, group_id: str) -> StoredGroup:
        """Return a group, or a topic with the members of its Community, for the commands about messages.

        The commands that change a group take it from `group`, to which the id of a topic is unknown. Raises UnknownGroup.
        """
        if not (community := community_of(group_id)):
            return await self.group(group_id)
        group = await self.group(community)
        if (topic := group.topics.get(group_id)) is None:
            raise UnknownGroup(f"there is no topic {group_id!r}")
        return group.in_topic(topic)

    async def group_for(self, user: str, group_id: str) -> StoredGroup:
        """Return a group or a topic of which `user` is a member. Raises UnknownGroup, NotAMember."""
        group = await self.group_or_topic(group_id)
        if user not in group.members:
            raise NotAMember(f"{user!r} is not in group {group_id!r}")
        return group

    async def relationships(self, user: str) -> Relationships:
        """Return a user's relationships. While they are cached, the object is always the same one."""
        relationships = self._relationships.get(user)
        if relationships is None or self._is_stale("relationships", user):
            learned = self._invalidations
            found = await self._store.accounts.relationships(user)
            known = self._relationships.get(user)
            relationships = self._cache_read(self._relationships, "relationships", user, found, learned)
            if known is not None and relationships is found:
                relationships = self._relationships[user] = _overwrite(known, found)
            _note_read(RELATIONSHIPS, user)
        elif self.shared:
            _note_use(RELATIONSHIPS, user, relationships.version)
        return relationships

    async def is_outdated(self, reads: CachedReads) -> bool:
        """Return True if another node has changed an entity that a request used from the cache. Raises StorageError."""
        checks = reads.checks()
        if not checks or not await self._store.outdated(checks):
            return False
        self.forget(reads)
        return True

    def forget(self, reads: CachedReads) -> None:
        """Mark as stale all entities that a request used from the cache, so that its next attempt reads them."""
        named = reads.keys_by_kind()
        self.invalidate(Invalidation(accounts=named[ACCOUNT], groups=named[GROUP], relationships=named[RELATIONSHIPS]))
        reads.clear()

    def forget_used(self) -> None:
        """Mark as stale all entities that this request used from the cache."""
        if (reads := current()) is not None:
            self.forget(reads)

    async def require_current(self) -> None:
        """Check the entities that this request used from the cache, before an effect that no transaction checks.

        Raises:
            StaleRead: Another node changed one of them.
            StorageError: The store failed.
        """
        reads = current()
        if reads is not None and (checks := reads.checks()) and await self._store.outdated(checks):
            raise StaleRead("another node changed an account or group that this request depends on; decide again")

    def invalidate(self, facts: Invalidation) -> None:
        """Mark entities as stale that another node changed."""
        self._invalidations += 1
        self._stale |= {("account", user) for user in facts.accounts if user in self._accounts}
        self._stale |= {("group", group_id) for group_id in facts.groups if group_id in self._groups}
        self._stale |= {("relationships", user) for user in facts.relationships if user in self._relationships}

    def invalidate_all(self, *, away: bool) -> None:
        """Mark all entities as stale. While the bus is disconnected (`away`), read each entity at every use."""
        self._invalidations += 1
        self._trusting = not away
        self._stale |= {("account", user) for user in self._accounts}
        self._stale |= {("group", group_id) for group_id in self._groups}
        self._stale |= {("relationships", user) for user in self._relationships}

    def _is_stale(self, kind: str, key: str) -> bool:
        return not self._trusting or (kind, key) in self._stale

    def _cache_read(self, cache: dict[str, T], kind: str, key: str, value: T, learned: int) -> T:
        """Cache a value that was just read, and return the value to use.

        After an invalidation during the read, the value is marked as stale. A cached value that is not stale is kept,
        because a changeset of this node may have changed it during the read.
        """
        if key in cache and not self._is_stale(kind, key):
            return cache[key]
        self._stale.discard((kind, key))
        cache.pop(key, None)
        if learned != self._invalidations:
            self._stale.add((kind, key))
        return _cache_put(cache, key, value)

    async def create_group(self, group: StoredGroup) -> None:
        """Create a group. Raises GroupExists if its id is taken."""
        await self.apply([ch.InsertGroup(group)], [])

    def apply(
        self, changes: Sequence[Change], entries: Sequence[NewEntry], callbacks: Sequence[NewCallback] = ()
    ) -> Awaitable[list[Appended]]:
        """Apply a changeset to the cache at once, and to the store in one transaction with its callbacks.

        The caller must not cancel the returned awaitable, because it also confirms or evicts the changes in the cache.

        Raises:
            GroupExists: The id of a new group is taken (raised when awaited, as the others).
            StaleRead: Another node changed an entity; read the entities again and decide again.
            StorageError: The store failed.
        """
        decided = self._read_versions(changes)
        reads = current()
        checks = [check for check in reads.checks() if not _is_decided(check, decided)] if reads is not None else ()
        stored = self._store.apply(changes, entries, decided, checks, callbacks)
        self._under_way += 1
        for change in changes:
            self._apply_change(change)
        self._raise_versions(decided)
        return self._commit(changes, entries, stored, reads)

    async def _commit(
        self,
        changes: Sequence[Change],
        entries: Sequence[NewEntry],
        stored: Awaitable[list[Appended]],
        reads: CachedReads | None,
    ) -> list[Appended]:
        try:
            appended = await stored
            if reads is not None:
                reads.stored = True
        except TimimError:
            self._doubtful += changes
            raise
        finally:
            self._under_way -= 1
            for change in self._doubtful:
                self._evict(change)
            if not self._under_way:
                self._doubtful.clear()
        seqs = {entry.timeline: done.seq for entry, done in zip(reversed(entries), reversed(appended), strict=True)}
        for change in changes:
            self._confirm_change(change, seqs)
        if changes:
            self._bus.announce(invalidation_of(changes, seqs))
        return appended

    def _read_versions(self, changes: Iterable[Change]) -> ReadVersions:
        """Return the cached versions from which these changes were decided."""
        named = changed_entities(changes)
        return ReadVersions(
            {group_id: group.version for group_id in named.groups if (group := self._groups.get(group_id)) is not None},
            {
                user: relationships.version
                for user in named.relationships
                if (relationships := self._relationships.get(user)) is not None
            },
        )

    def _raise_versions(self, decided: ReadVersions) -> None:
        for group_id, version in decided.groups.items():
            if group_id in self._groups:
                self._groups[group_id] = replace(self._groups[group_id], version=version + 1)
        for user, version in decided.relationships.items():
            if user in self._relationships:
                self._relationships[user].version = version + 1

    def _apply_change(self, change: Change) -> None:
        match change:
            case ch.SetAccount(account):
                self._accounts[account.user_id] = account
            case ch.DeleteAccount(account):
                self._accounts.pop(account.user_id, None)
            case ch.InsertGroup():
                pass  # cached after the commit, when it is certain that the id was free
            case ch.SetGroup(group):
                self._groups[group.group_id] = group
            case ch.DissolveGroup(group_id, _):
                self._groups.pop(group_id, None)
                _cache_put(self._dissolved, group_id, None)
            case ch.InsertMembers(group_id, members, from_now):
                group = self._groups[group_id]
                for user, member in members.items():
                    group.members[user] = replace(member, floor=UNKNOWN_FLOOR) if from_now else member
            case ch.SetMember(group_id, user, member):
                self._groups[group_id].members[user] = member
            case ch.RemoveMembers(group_id, users):
                for user in users:
                    self._groups[group_id].members.pop(user, None)
            case ch.SetGroupApplication(group_id, user, application):
                self._groups[group_id].applications[user] = application
            case ch.RemoveGroupApplication(group_id, user):
                self._groups[group_id].applications.pop(user, None)
            case ch.InsertTopic(group_id, topic) | ch.SetTopic(group_id, topic):
                self._groups[group_id].topics[topic.topic_id] = topic
            case ch.RemoveTopics(group_id, topic_ids):
                for topic_id in topic_ids:
                    self._groups[group_id].topics.pop(topic_id, None)
            case _:
                _apply_relationship_change(self._relationships, change)

    def _confirm_change(self, change: Change, seqs: dict[str, int]) -> None:
        if isinstance(change, ch.DeleteAccount):
            self._accounts.pop(change.account.user_id, None)
            self._invalidations += 1  # a read that began before the commit returns the deleted account
        elif isinstance(change, ch.InsertGroup):
            _cache_put(self._groups, change.group.group_id, change.group)
        elif isinstance(change, ch.InsertMembers) and change.from_now:
            group = self._groups.get(change.group_id)
            first = seqs[group_timeline(change.group_id)]
            for user in change.members if group is not None else ():
                assert group is not None
                member = group.members.get(user)
                if member is not None and member.floor == UNKNOWN_FLOOR:
                    group.members[user] = replace(member, floor=first)

    def _evict(self, change: Change) -> None:
        if isinstance(change, ch.DissolveGroup):
            self._dissolved.pop(change.group_id, None)
        named = changed_entities((change,))
        for user in named.accounts:
            self._accounts.pop(user, None)
        for group_id in named.groups:
            self._groups.pop(group_id, None)
        self._stale |= {("relationships", user) for user in named.relationships if user in self._relationships}


def _note_use(kind: VersionedKind, key: str, version: int) -> None:
    if (reads := current()) is not None:
        reads.use(kind, key, version)


def _note_read(kind: VersionedKind, key: str) -> None:
    if (reads := current()) is not None:
        reads.read(kind, key)


def _is_decided(check: VersionCheck, decided: ReadVersions) -> bool:
    """Return True if the transaction of a changeset checks this version anyway, because the changeset changes the entity."""
    held = {GROUP: decided.groups, RELATIONSHIPS: decided.relationships}.get(check.kind, {})
    return check.key in held


def _overwrite(known: Relationships, found: Relationships) -> Relationships:
    """Copy the values of `found` into `known`, because other code has references to `known`."""
    for name in Relationships.__slots__:
        setattr(known, name, getattr(found, name))
    return known


def _apply_relationship_change(relationships: dict[str, Relationships], change: ch.RelationshipChange) -> None:
    """Apply a change to the cached relationships. Users whose relationships are not cached are skipped."""
    mine = relationships.get(change.owner) or Relationships()
    theirs = Relationships() if isinstance(change, ch.SetFriendGroups) else relationships.get(change.peer) or Relationships()
    match change:
        case ch.SetFriend(owner, peer, friend):
            mine.friends[peer] = friend
            theirs.listed_by.add(owner)
        case ch.RemoveFriend(owner, peer):
            mine.friends.pop(peer, None)
            theirs.listed_by.discard(owner)
        case ch.SetApplication(owner, peer, application):
            mine.received_requests[peer] = application
            theirs.sent_requests[owner] = application
        case ch.RemoveApplication(owner, peer):
            mine.received_requests.pop(peer, None)
            theirs.sent_requests.pop(owner, None)
        case ch.SetBlocked(_, peer, time):
            mine.blocked[peer] = time
        case ch.RemoveBlocked(_, peer):
            mine.blocked.pop(peer, None)
        case ch.SetFriendGroups(_, names):
            mine.friend_groups[:] = names


def _cache_put(cache: dict[str, T], key: str, value: T) -> T:
    """Cache a value unless the key exists, and return the cached value."""
    if key in cache:
        return cache[key]
    if len(cache) >= CACHE_LIMIT:
        del cache[next(iter(cache))]
    cache[key] = value
    return value

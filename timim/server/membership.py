"""Who may speak and read where. Facts of accounts and groups are kept in memory once asked for; no I/O but the store's.

Invariant: what is cached here is written through here, so it never disagrees with the store of a one-process server.
"""

from __future__ import annotations

from typing import TypeVar

from ..errors import NotAMember, UnknownGroup, UnknownUser
from .store.base import Account, Group, Store

T = TypeVar("T")

CACHE_LIMIT = 100_000  # accounts, and groups: some 50 MB at the most; the oldest go first


class Directory:
    """Accounts and groups, by id."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._accounts: dict[str, Account] = {}
        self._groups: dict[str, Group] = {}

    async def account(self, user: str) -> Account:
        """Raises UnknownUser."""
        account = self._accounts.get(user)
        if account is None:
            account = await self._store.account(user)
            if account is None:
                raise UnknownUser(f"there is no account {user!r}: it exists from its first login on")
            _keep(self._accounts, user, account)
        return account

    async def ensure_account(self, user: str, *, nickname: str = "", face_url: str = "") -> Account:
        """The account, made when there is none."""
        account = await self._store.ensure_account(user, nickname=nickname, face_url=face_url)
        _keep(self._accounts, user, account)
        return account

    async def group(self, group_id: str) -> Group:
        """Raises UnknownGroup."""
        group = self._groups.get(group_id)
        if group is None:
            group = await self._store.group(group_id)
            if group is None:
                raise UnknownGroup(f"there is no group {group_id!r}")
            _keep(self._groups, group_id, group)
        return group

    async def group_for(self, user: str, group_id: str) -> Group:
        """The group, for one of its members. Raises UnknownGroup, NotAMember."""
        group = await self.group(group_id)
        if user not in group.members:
            raise NotAMember(f"{user!r} is not in group {group_id!r}")
        return group

    async def create_group(self, group: Group) -> None:
        """Raises GroupExists."""
        await self._store.create_group(group)
        _keep(self._groups, group.group_id, group)


def _keep(cache: dict[str, T], key: str, value: T) -> None:
    if len(cache) >= CACHE_LIMIT:
        del cache[next(iter(cache))]
    cache[key] = value

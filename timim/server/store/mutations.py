"""Changes of rows, as plans give them: a closed set, which the cache and the store carry out each in its own way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...errors import TimimError
from .entities import GroupApplication, Member, StoredAccount, StoredApplication, StoredFriend, StoredGroup


class StaleRead(TimimError):
    """A value from which a changeset was decided has been changed by another node: read again, and decide again."""


@dataclass(frozen=True, slots=True)
class SetAccount:
    account: StoredAccount


@dataclass(frozen=True, slots=True)
class InsertGroup:
    """With its members. Refused with GroupExists."""

    group: StoredGroup


@dataclass(frozen=True, slots=True)
class SetGroup:
    """Its facts and its owner; not its members."""

    group: StoredGroup


@dataclass(frozen=True, slots=True)
class DissolveGroup:
    """Nobody is in it any more; its id stays taken, so that nobody finds its history under it."""

    group_id: str
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InsertMembers:
    """`from_now`: they see the timeline from the next entry on, whatever their `floor` says."""

    group_id: str
    members: Mapping[str, Member]
    from_now: bool


@dataclass(frozen=True, slots=True)
class SetMember:
    """All but its floor."""

    group_id: str
    user: str
    member: Member


@dataclass(frozen=True, slots=True)
class RemoveMembers:
    group_id: str
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SetGroupApplication:
    group_id: str
    user: str
    application: GroupApplication


@dataclass(frozen=True, slots=True)
class RemoveGroupApplication:
    group_id: str
    user: str


@dataclass(frozen=True, slots=True)
class SetFriend:
    owner: str
    peer: str
    friend: StoredFriend


@dataclass(frozen=True, slots=True)
class RemoveFriend:
    owner: str
    peer: str


@dataclass(frozen=True, slots=True)
class SetApplication:
    """`peer` asks `owner`."""

    owner: str
    peer: str
    application: StoredApplication


@dataclass(frozen=True, slots=True)
class RemoveApplication:
    owner: str
    peer: str


@dataclass(frozen=True, slots=True)
class SetBlocked:
    owner: str
    peer: str
    time: int


@dataclass(frozen=True, slots=True)
class RemoveBlocked:
    owner: str
    peer: str


@dataclass(frozen=True, slots=True)
class SetFriendGroups:
    """All names of an owner's friend groups."""

    owner: str
    names: tuple[str, ...]


GroupChange = (
    InsertGroup
    | SetGroup
    | DissolveGroup
    | InsertMembers
    | SetMember
    | RemoveMembers
    | SetGroupApplication
    | RemoveGroupApplication
)
RelationshipChange = (
    SetFriend | RemoveFriend | SetApplication | RemoveApplication | SetBlocked | RemoveBlocked | SetFriendGroups
)
Change = SetAccount | GroupChange | RelationshipChange

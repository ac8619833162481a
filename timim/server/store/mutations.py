"""Changes of rows, as plans give them: a closed set, which the cache and the store carry out each in its own way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .entities import Account, Application, Friend, Group, GroupApplication, Member


@dataclass(frozen=True, slots=True)
class SetAccount:
    account: Account


@dataclass(frozen=True, slots=True)
class CreateGroup:
    """With its members. Refused with GroupExists."""

    group: Group


@dataclass(frozen=True, slots=True)
class SetGroup:
    """Its facts and its owner; not its members."""

    group: Group


@dataclass(frozen=True, slots=True)
class DissolveGroup:
    """Nobody is in it any more; its id stays taken, so that nobody finds its history under it."""

    group_id: str
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AddMembers:
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
    friend: Friend


@dataclass(frozen=True, slots=True)
class RemoveFriend:
    owner: str
    peer: str


@dataclass(frozen=True, slots=True)
class SetApplication:
    """`peer` asks `owner`."""

    owner: str
    peer: str
    application: Application


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
    CreateGroup
    | SetGroup
    | DissolveGroup
    | AddMembers
    | SetMember
    | RemoveMembers
    | SetGroupApplication
    | RemoveGroupApplication
)
CircleChange = SetFriend | RemoveFriend | SetApplication | RemoveApplication | SetBlocked | RemoveBlocked | SetFriendGroups
Change = SetAccount | GroupChange | CircleChange

"""Row changes of a changeset. The cache and the store each implement every class of this module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...errors import TimimError
from .entities import GroupApplication, Member, StoredAccount, StoredApplication, StoredFriend, StoredGroup, StoredTopic


class StaleRead(TimimError):
    """Another node changed a value from which a changeset was decided. Read the value again and decide again."""


@dataclass(frozen=True, slots=True)
class SetAccount:
    account: StoredAccount


@dataclass(frozen=True, slots=True)
class DeleteAccount:
    """Delete an account with its profile, its conversations and its notices. It must have no relationships and no groups.

    The row stays, so that the version of an account that is created again is above those that other nodes have cached.
    """

    account: StoredAccount


@dataclass(frozen=True, slots=True)
class InsertGroup:
    """Insert a group with its members. Applying the change raises GroupExists if the id is taken."""

    group: StoredGroup


@dataclass(frozen=True, slots=True)
class SetGroup:
    """Update a group's fields and its owner, not its members."""

    group: StoredGroup


@dataclass(frozen=True, slots=True)
class DissolveGroup:
    """Remove all members of a group. Its id cannot be used again, so that no new group gets the old history."""

    group_id: str
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InsertMembers:
    """Insert members. If `from_now`, they see the timeline from its next entry on, and their `floor` is ignored."""

    group_id: str
    members: Mapping[str, Member]
    from_now: bool


@dataclass(frozen=True, slots=True)
class SetMember:
    """Update a member, except its `floor`."""

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
class InsertTopic:
    """Insert a topic, whose conversation all members of the group get. Raises GroupExists if the id is taken."""

    group_id: str
    topic: StoredTopic


@dataclass(frozen=True, slots=True)
class SetTopic:
    """Update a topic, except the time of its creation."""

    group_id: str
    topic: StoredTopic


@dataclass(frozen=True, slots=True)
class RemoveTopics:
    """Remove topics. Their ids cannot be used again, so that no new topic gets the old history."""

    group_id: str
    topic_ids: tuple[str, ...]


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
    """Store the friend request of `peer` to `owner`."""

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
    """Replace the names of all friend groups of an owner."""

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
    | InsertTopic
    | SetTopic
    | RemoveTopics
)
TopicChange = InsertTopic | SetTopic | RemoveTopics
RelationshipChange = (
    SetFriend | RemoveFriend | SetApplication | RemoveApplication | SetBlocked | RemoveBlocked | SetFriendGroups
)
AccountChange = SetAccount | DeleteAccount
Change = AccountChange | GroupChange | RelationshipChange

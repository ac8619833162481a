"""Values, other than entries, that the store reads and writes.

All are frozen, except Relationships and the two dictionaries of a group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ...protocol.profiles import GROUP_INVITES, NEED_CONFIRM
from .entries import StoredEntry

MUTED_FOR_EVER = 1 << 40  # end of a mute without an end, in server seconds


@dataclass(frozen=True, slots=True)
class StoredAccount:
    """An account and its profile.

    `custom` contains the operator's own fields, `details` Tencent's other tags. `version` increases with each change. An
    administrator has muted the user until `muted_c2c` in C2C, and until `muted_groups` in groups, in server seconds.
    `renewed` is True for an account that was created again after a deletion. `status` is a text for others, and `watched` has
    the users whose status this one watches.
    """

    user_id: str
    tiny_id: int
    nickname: str = ""
    face_url: str = ""
    custom: dict[str, str] = field(default_factory=dict)
    allow_type: str = ""
    details: dict[str, str] = field(default_factory=dict)
    version: int = 1
    muted_c2c: int = 0
    muted_groups: int = 0
    renewed: bool = False
    status: str = ""
    watched: tuple[str, ...] = ()

    @property
    def asked_before_groups(self) -> bool:
        """True if the user demands to be asked before being added to a group."""
        return self.details.get(GROUP_INVITES) == NEED_CONFIRM


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a group. `floor` is the first seq that this member may see; `muted_until` is in server seconds."""

    role: str
    name_card: str = ""
    floor: int = 1
    muted_until: int = 0
    joined: int = 0
    custom: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GroupApplication:
    """A request to join a group, made by the user, or by `inviter` for the user.

    With `consent` the user answers it, who demands to be asked before being added to groups; otherwise the group's admins do.
    """

    inviter: str
    wording: str
    time: int
    consent: bool = False


@dataclass(frozen=True, slots=True)
class StoredGroup:
    """A group with its members, in the order in which they joined.

    `applications` maps each applicant to the application. `max_members` 0 means the server's own limit.
    """

    group_id: str
    type: str
    name: str
    owner: str
    created: int
    members: dict[str, Member]
    introduction: str = ""
    notification: str = ""
    face_url: str = ""
    apply_option: str = ""
    max_members: int = 0
    muted_all: bool = False
    custom: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, str] = field(default_factory=dict)
    attributes_seq: int = 0  # increases with each change of `attributes`
    counters: dict[str, int] = field(default_factory=dict)
    counters_seq: int = 0  # increases with each change of `counters`
    pins: dict[str, str] = field(default_factory=dict)  # the seq of each pinned message, as text, and the user who pinned it
    bans: dict[str, int] = field(default_factory=dict)  # users who may not join a live room, until a server second
    marks: dict[str, list[int]] = field(default_factory=dict)  # of members of a live room
    applications: dict[str, GroupApplication] = field(default_factory=dict)
    version: int = field(default=1, compare=False)  # increases with each changeset that changes the group or its members


GROUP_JSON_FIELDS = (
    "introduction",
    "notification",
    "face_url",
    "apply_option",
    "max_members",
    "muted_all",
    "custom",
    "attributes",
    "attributes_seq",
    "counters",
    "counters_seq",
    "pins",
    "bans",
    "marks",
)  # stored in one JSON column, because these values are read and written together


@dataclass(frozen=True, slots=True)
class StoredFriend:
    """A friend in a user's list: the remark and the friend groups that the list's owner gave."""

    remark: str = ""
    groups: tuple[str, ...] = ()
    source: str = ""
    wording: str = ""
    added: int = 0


@dataclass(frozen=True, slots=True)
class StoredApplication:
    """A friend request. `remark` and `group` are the ones that the applicant will give to the new friend."""

    wording: str = ""
    source: str = ""
    remark: str = ""
    group: str = ""
    both: bool = True
    time: int = 0


@dataclass(slots=True)
class Relationships:
    """The relationships of one user: friends, friend groups, blacklist, and friend requests in both directions."""

    friends: dict[str, StoredFriend] = field(default_factory=dict)
    friend_groups: list[str] = field(default_factory=list)
    blocked: dict[str, int] = field(default_factory=dict)
    received_requests: dict[str, StoredApplication] = field(default_factory=dict)
    sent_requests: dict[str, StoredApplication] = field(default_factory=dict)
    listed_by: set[str] = field(default_factory=set)  # users who have this user as a friend
    version: int = field(default=0, compare=False)  # increases with each changeset that changes these relationships


@dataclass(frozen=True, slots=True)
class Upload:
    """An unfinished upload: the object that stores its parts, and the expected SHA-256 and size in bytes."""

    object: str
    hash: str
    size: int


@dataclass(frozen=True, slots=True)
class Blob:
    """Completely uploaded content. `parts` are the sizes in bytes of its object's parts, in order."""

    uuid: str
    object: str
    hash: str
    size: int
    parts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ReadVersions:
    """Versions of the groups and relationships from which a changeset was decided.

    The store accepts the changeset only while these are the current versions.
    """

    groups: Mapping[str, int] = field(default_factory=dict)
    relationships: Mapping[str, int] = field(default_factory=dict)


UNREAD_LIMIT = 10_000  # counting stops here: about 2 ms of a read


@dataclass(frozen=True, slots=True)
class UserConversation:
    """One conversation of one user.

    `floor` is the first seq that this user may see. `last` is the last message; actions do not count. `action_seq` is
    the seq of the last action. `peer_read_seq` is the last seq that the peer of a C2C conversation has read. `pinned` is
    the time at which the user pinned the conversation, or 0 if it is not pinned. `settings_version` increases with each change
    of `pinned`, `muted` and `draft`, and when an administrator sets `read_seq` back, the last time at `reset_version`.
    """

    timeline: str
    last_seq: int
    last_time: int
    read_seq: int
    floor: int
    last: StoredEntry | None
    action_seq: int = 0
    peer_read_seq: int = 0
    pinned: int = 0
    muted: bool = False
    draft: str = ""
    settings_version: int = 0
    reset_version: int = 0


@dataclass(frozen=True, slots=True)
class ConversationChange:
    """New settings of a conversation; None leaves a setting unchanged.

    Attributes:
        pinned: The time of pinning; 0 unpins.
        muted: True mutes the conversation.
        draft: The draft; "" removes it.
        age_ms: Milliseconds since the user made the change; 0 for one that the user is making now.
        device: The device that made the change; "" if it is unknown.
    """

    pinned: int | None = None
    muted: bool | None = None
    draft: str | None = None
    age_ms: int = 0
    device: str = ""


class ChangedConversation(NamedTuple):
    """A conversation after a change, without entries. `applied` is False if a later change of another device was kept."""

    conversation: UserConversation
    applied: bool


@dataclass(frozen=True, slots=True)
class Unread:
    """The number of other users' entries between the read seq and `last_seq`, and how many of them mention the user."""

    count: int
    mentioned: int
    last_seq: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """The number of readers of a message whose sender requested read receipts."""

    timeline: str
    seq: int
    sender: str
    readers: int


@dataclass(frozen=True, slots=True)
class Read:
    """A user's read seq after a change. `risen` is set if the seq increased; `receipts` are those that the change affects."""

    seq: int
    unread: Unread
    risen: bool = False
    receipts: Sequence[Receipt] = ()

"""Values, other than entries, that the store reads and writes.

All are frozen, except Relationships and the two dictionaries of a group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from ...ids import community_of
from ...protocol.profiles import GROUP_INVITES, NEED_CONFIRM
from .entries import StoredEntry

ANY_MEMBER = (1 << 62) - 1  # a seq that every member may see, for events of groups without a seq
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
class StoredTopic:
    """A topic of a Community. `muted` maps members to the ends of their mutes in the topic, in server seconds."""

    topic_id: str
    name: str
    created: int
    introduction: str = ""
    notification: str = ""
    face_url: str = ""
    custom: str = ""
    muted_all: bool = False
    muted: dict[str, int] = field(default_factory=dict)
    pins: dict[str, str] = field(default_factory=dict)  # as those of a group


@dataclass(frozen=True, slots=True)
class StoredGroup:
    """A group with its members, in the order in which they joined.

    `applications` maps each applicant to the application, `topics` the ids of the topics to the topics, in the order of their
    creation. `max_members` 0 means the server's own limit. A group with `topic` is that topic, with the members of its
    Community: see `in_topic`.
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
    has_topics: bool = False  # of a Community, for ever: its messages are in topics
    topics: dict[str, StoredTopic] = field(default_factory=dict)
    topic: StoredTopic | None = None
    version: int = field(default=1, compare=False)  # increases with each changeset that changes the group or its members

    def in_topic(self, topic: StoredTopic) -> StoredGroup:
        """Return a topic as the group of its messages: its members and their roles are those of this Community.

        The value is for reading. A change of the topic is made in its Community.
        """
        return replace(
            self,
            group_id=topic.topic_id,
            name=topic.name,
            muted_all=self.muted_all or topic.muted_all,
            pins=topic.pins,
            topic=topic,
        )

    @property
    def community_id(self) -> str:
        """The id of this group, or that of its Community for a topic: the group whose members these are."""
        return community_of(self.group_id) if self.topic is not None else self.group_id

    def first_visible_seq(self, user: str) -> int:
        """Return the first seq that a member may see. The members of a Community see all messages of its topics."""
        return 1 if self.topic is not None else self.members[user].floor

    def muted_until(self, user: str) -> int:
        """Return the end of the mute of a user in this group or topic, in server seconds, or 0 for a user without one."""
        member = self.members.get(user)
        until = member.muted_until if member is not None else 0
        return max(until, self.topic.muted.get(user, 0)) if self.topic is not None else until

    def addressed(self, seq: int) -> tuple[str, int]:
        """Return `group` and `seq` of an event for the members who may see an entry with this seq."""
        return (self.community_id, ANY_MEMBER) if self.topic is not None else (self.group_id, seq)


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
    "has_topics",
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
    of `pinned`, `muted` and `draft`, and when an administrator sets `read_seq` back, the last time at `reset_version`. Only a
    message above `unlisted_seq` shows a conversation again that the user has deleted from the list.
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
    unlisted_seq: int = 0


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
    """The number of readers of a message whose sender requested read receipts; `time` is that of the last one."""

    timeline: str
    seq: int
    sender: str
    readers: int
    time: int


@dataclass(frozen=True, slots=True)
class Read:
    """A user's read seq after a change. `risen` is set if the seq increased; `receipts` are those that the change affects."""

    seq: int
    unread: Unread
    risen: bool = False
    receipts: Sequence[Receipt] = ()

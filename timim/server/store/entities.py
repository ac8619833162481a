"""Values that the store reads and writes besides entries. All are frozen but Relationships and a group's two dictionaries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .entries import StoredEntry


@dataclass(frozen=True, slots=True)
class StoredAccount:
    """`custom`: fields of the operator's own; `details`: Tencent's other tags; `version` rises with each change."""

    user_id: str
    tiny_id: int
    nickname: str = ""
    face_url: str = ""
    custom: dict[str, str] = field(default_factory=dict)
    allow_type: str = ""
    details: dict[str, str] = field(default_factory=dict)
    version: int = 1


@dataclass(frozen=True, slots=True)
class Member:
    """`floor`: the first seq that this member may see; `muted_until`: server seconds."""

    role: str
    name_card: str = ""
    floor: int = 1
    muted_until: int = 0
    joined: int = 0
    custom: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GroupApplication:
    """Somebody asks to join, or `inviter` asks to let them in."""

    inviter: str
    wording: str
    time: int


@dataclass(frozen=True, slots=True)
class StoredGroup:
    """`members` in the order they joined; `applications` by who wants in. `max_members` 0: the server's own limit."""

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
    attributes_seq: int = 0  # rises with each change of them
    applications: dict[str, GroupApplication] = field(default_factory=dict)
    version: int = field(default=1, compare=False)  # rises with each changeset that changes it, or its members


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
)  # what the store keeps together, as JSON: read and written whole


@dataclass(frozen=True, slots=True)
class StoredFriend:
    """A friend of somebody's list: what the list's owner calls them, and puts them into."""

    remark: str = ""
    groups: tuple[str, ...] = ()
    source: str = ""
    wording: str = ""
    added: int = 0


@dataclass(frozen=True, slots=True)
class StoredApplication:
    """Somebody asks to be somebody's friend; `remark` and `group` are what the asker will call them."""

    wording: str = ""
    source: str = ""
    remark: str = ""
    group: str = ""
    both: bool = True
    time: int = 0


@dataclass(slots=True)
class Relationships:
    """One user's relations: `asked` by others, `asking` others."""

    friends: dict[str, StoredFriend] = field(default_factory=dict)
    friend_groups: list[str] = field(default_factory=list)
    blocked: dict[str, int] = field(default_factory=dict)
    received_requests: dict[str, StoredApplication] = field(default_factory=dict)
    sent_requests: dict[str, StoredApplication] = field(default_factory=dict)
    listed_by: set[str] = field(default_factory=set)  # who has this user as a friend
    version: int = field(default=0, compare=False)  # rises with each changeset that changes it


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload under way: where its parts are kept, and what it must come to (SHA-256, bytes)."""

    object: str
    hash: str
    size: int


@dataclass(frozen=True, slots=True)
class Blob:
    """Content that is whole: `parts` are the sizes of its object's parts, in order."""

    uuid: str
    object: str
    hash: str
    size: int
    parts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ReadVersions:
    """What a changeset was decided by: groups and relationships with their versions. Stored only if they are still these."""

    groups: Mapping[str, int] = field(default_factory=dict)
    relationships: Mapping[str, int] = field(default_factory=dict)


UNREAD_LIMIT = 10_000  # counting ends here: some 2 ms of a read


@dataclass(frozen=True, slots=True)
class UserConversation:
    """One conversation of one user. `floor`: the first seq this user may see; `last`: its last message, no act.

    `act_seq`: the last act; `peer_read_seq`: up to where the other one of a C2C conversation has read; `pinned`: when
    the user pinned it, 0: it is not.
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


@dataclass(frozen=True, slots=True)
class ConversationChange:
    """What is None stays. `pinned`: since when, 0: no more."""

    pinned: int | None = None
    muted: bool | None = None
    draft: str | None = None


@dataclass(frozen=True, slots=True)
class Unread:
    """How many entries of others are above the read seq, and how many of them mention the user; up to `last_seq`."""

    count: int
    mentioned: int
    last_seq: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """How many have read a message whose sender wants to know."""

    timeline: str
    seq: int
    sender: str
    readers: int


@dataclass(frozen=True, slots=True)
class Read:
    """Up to where a user has read; `risen`: further than before, and what that tells the senders of messages."""

    seq: int
    unread: Unread
    risen: bool = False
    receipts: Sequence[Receipt] = ()

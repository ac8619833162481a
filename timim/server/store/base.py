"""The store's contract. An entry gets its seq in the transaction that stores it; a reply follows the commit.

Same sender, same msg_id, same timeline: same entry, for ever (no time window). The same msg_id with another body is a
MsgIdConflict, and nothing is stored. Seqs of a timeline are 1, 2, 3, … without holes; times in it never go back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ...errors import TimimError
from ...protocol.media import MediaRef
from .device_slots import PlaceStore
from .entities import Account, Blob, Circle, Decided, Friend, Group, Member, Upload
from .entries import (
    ACT,
    MESSAGE,
    RECALLED,
    Acted,
    Appended,
    MsgKey,
    NewAct,
    NewEntry,
    StoredEntry,
    TimelinePage,
    c2c_timeline,
    group_timeline,
    system_timeline,
)
from .locks import Claims
from .mutations import Change

__all__ = [
    "ACT",
    "MESSAGE",
    "RECALLED",
    "Account",
    "Acted",
    "Appended",
    "Blob",
    "Change",
    "Circle",
    "Contact",
    "ContactChange",
    "Decided",
    "Friend",
    "Group",
    "MediaStore",
    "Member",
    "MsgKey",
    "NewAct",
    "NewEntry",
    "Read",
    "Receipt",
    "Stale",
    "Store",
    "StoredEntry",
    "TimelinePage",
    "Unread",
    "Upload",
    "c2c_timeline",
    "group_timeline",
    "system_timeline",
]


class Stale(TimimError):
    """Another node changed meanwhile what a plan was decided by: read it again, and decide again."""


UNREAD_LIMIT = 10_000  # counting ends here: some 2 ms of a read


@dataclass(frozen=True, slots=True)
class Contact:
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
    act_seq: int = 0
    peer_read_seq: int = 0
    pinned: int = 0
    muted: bool = False
    draft: str = ""


@dataclass(frozen=True, slots=True)
class ContactChange:
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


class MediaStore(Protocol):
    """What is known of content; the bytes are elsewhere. Times are server seconds."""

    async def begin(self, owner: str, upload: str, wanted: Upload, *, now: int, open_limit: int) -> Upload | Blob:
        """The upload of this name, made when there is none, or what this user uploaded of the same bytes before.

        Raises InvalidArgument when the name stands for other content, RateLimited past `open_limit` unfinished ones.
        """
        ...

    async def find(self, owner: str, upload: str) -> Upload | None: ...

    async def touch(self, owner: str, upload: str, *, now: int) -> None:
        """It goes on: it is not abandoned."""
        ...

    async def finish(self, owner: str, upload: str, whole: Upload, uuid: str, parts: Sequence[int], *, now: int) -> Blob | None:
        """The upload is whole, and its hash is what `whole` says: its blob. None when it was dropped meanwhile.

        It gets this uuid where that was promised, as the upload's own name; else what its owner calls the same bytes already.
        """
        ...

    async def drop(self, owner: str, upload: str) -> str | None:
        """Forget an upload; the object whose parts go, None when there was no such upload."""
        ...

    async def readable(self, uuid: str, user: str) -> Blob | None:
        """The blob, for who may read it now: its uploader, and who may read a message with it."""
        ...

    async def grant(self, sender: str, user: str, names: Sequence[MediaRef], *, now: int) -> None:
        """An online message names this content: its receiver may read it until it is collected. Raises InvalidElem."""
        ...

    async def collect(self, *, uploads_before: int, blobs_before: int) -> list[str]:
        """Give up uploads untouched since a time, and blobs that no entry names; the objects whose bytes may go.

        An object is named again until `buried`.
        """
        ...

    async def buried(self, object: str) -> None:
        """Its bytes are gone."""
        ...


class Store(Protocol):
    """Every method may raise StorageError; a write that raised has stored nothing."""

    @property
    def media(self) -> MediaStore: ...

    @property
    def places(self) -> PlaceStore: ...

    @property
    def claims(self) -> Claims: ...

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def append(self, entry: NewEntry) -> Appended:
        """Store an entry. Raises MsgIdConflict, InvalidElem. Entries are numbered in the order of the calls."""
        ...

    async def standing(self, entry: NewEntry) -> Appended | None:
        """Where this sender's msg_id stands already, counting what was appended before this call. Raises MsgIdConflict.

        An empty fingerprint is that of any body.
        """
        ...

    def apply(
        self, changes: Sequence[Change], entries: Sequence[NewEntry], decided: Decided | None = None
    ) -> Awaitable[list[Appended]]:
        """Carry out changes, then append entries, all in one transaction, or nothing. Raises GroupExists, Stale.

        It stands in the order of the calls of `append` and `apply` when this returns.
        """
        ...

    async def act(self, act: NewAct) -> Acted:
        """Store an act, and in the same transaction make its message what it is after it.

        Raises UnknownMessage, AlreadyRecalled, LimitReached, MsgIdConflict.
        """
        ...

    async def acts(self, timeline: str, first: int, last: int, limit: int) -> list[StoredEntry]:
        """The acts of an interval, oldest first."""
        ...

    async def message(self, timeline: str, seq: int) -> StoredEntry | None:
        """One entry."""
        ...

    async def messages_before(self, timeline: str, last: int, floor: int, limit: int) -> TimelinePage:
        """The newest `limit` entries up to `last` that are no acts; `first` is where the next page ends."""
        ...

    async def timeline_page(self, timeline: str, first: int, last: int, limit: int) -> TimelinePage:
        """The newest `limit` entries of `first` to `last`; a timeline that does not exist is empty."""
        ...

    async def seq_before(self, timeline: str, time: int, msg_key: str) -> int:
        """The last seq that is older than the message of this time and MsgKey (`{MsgSeq}_{MsgRandom}_{MsgTime}`)."""
        ...

    async def contacts(self, user: str, offset: int, limit: int, *, since: int = 0) -> list[Contact]:
        """A user's conversations that changed at `since` or later, the newest first, each with its last entry."""
        ...

    async def unread(self, user: str, timelines: Sequence[str]) -> list[Unread]:
        """What is unread of each of these; counting ends at UNREAD_LIMIT."""
        ...

    async def set_read(self, user: str, timeline: str, seq: int, *, time: int = 0) -> Read:
        """Raise the user's read seq in a timeline (it never falls), at this time."""
        ...

    async def set_receipts(self, user: str, timeline: str, seqs: Sequence[int], *, time: int) -> list[Receipt]:
        """This user has read just these messages of a group; those that are new to their senders."""
        ...

    async def receipts_of(self, sender: str, since: int, limit: int) -> list[Receipt]:
        """The receipts of a sender's messages that changed at `since` or later, the newest first."""
        ...

    async def receipts(self, timeline: str, seqs: Sequence[int]) -> list[Receipt]:
        """The receipts of these messages, but for those whose sender wants none."""
        ...

    async def readers(self, timeline: str, seq: int, offset: int, limit: int) -> list[tuple[str, int]]:
        """Who has read a message and when, in that order."""
        ...

    async def change_contact(self, user: str, timeline: str, change: ContactChange, *, time: int) -> Contact | None:
        """Pin, mute, keep a draft; what it is then, without its entries. None when the user is not in that group."""
        ...

    async def muted(self, user: str, timelines: Sequence[str]) -> list[bool]:
        """Which of these the user has muted."""
        ...

    async def muting(self, timeline: str, users: Sequence[str]) -> set[str]:
        """Who of these has muted this one."""
        ...

    async def read_time(self, user: str, timeline: str) -> int:
        """The time of the last entry that this user has read; 0 when it has read none."""
        ...

    async def account(self, user: str) -> Account | None: ...

    async def ensure_account(self, user: str, *, nickname: str = "", face_url: str = "") -> Account:
        """The account, made when there is none."""
        ...

    async def create_group(self, group: Group) -> None:
        """Raises GroupExists."""
        ...

    async def group(self, group_id: str) -> Group | None:
        """None also when it is dissolved."""
        ...

    async def places_of(self, user: str) -> dict[str, int]:
        """A user's groups, and the first seq that the user may see in each."""
        ...

    async def group_ids_of(self, user: str) -> list[str]: ...

    async def circle(self, user: str) -> Circle:
        """A user's relations; empty ones for who has none."""
        ...

    async def groups_of(self, user: str) -> list[Group]: ...

    async def begin_outlet(self, outlet: str) -> None:
        """An outlet tells of what is stored from now on, or goes on where it ended; see `outlets.py`."""
        ...

    async def end_outlet(self, outlet: str) -> None: ...

    async def untold(self, outlet: str, limit: int) -> list[str]:
        """Timelines of messages that hold more than the outlet has told, at most `limit`."""
        ...

    async def told_up_to(self, outlet: str, timeline: str) -> int: ...

    async def set_told(self, outlet: str, timeline: str, seq: int) -> None:
        """The outlet has told of everything up to this seq; it never falls."""
        ...

    async def meta(self, key: str, default: str) -> str:
        """A lasting setting; `default` is stored when there is none."""
        ...

    async def set_meta(self, key: str, value: str) -> None:
        """Change a lasting setting."""
        ...

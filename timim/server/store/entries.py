"""Entries of timelines, before and after they are stored, and the names of timelines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import msgspec

from ...ids import ConversationKey, ConversationType
from ...protocol.entries import EntryPayload, readable_payload
from ...protocol.media import MediaRef
from .new_callbacks import NewCallback
from .version_checks import VersionCheck

# Kinds of entries. MESSAGE and UNLISTED count as unread; ACTION, UNLISTED, HIDDEN and TARGETED are never the last message,
# except that the audience of a TARGETED entry sees it as the last one.
MESSAGE, ACTION, RECALLED, UNCOUNTED, UNLISTED, HIDDEN, TARGETED = range(7)
RECALLED_KINDS = {MESSAGE: RECALLED, UNCOUNTED: RECALLED, UNLISTED: HIDDEN}  # other kinds stay when a message is recalled


def c2c_timeline(one: str, other: str) -> str:
    """Return the timeline of two users, given in either order.

    User ids contain no control characters, so the name is unambiguous.
    """
    return f"c2c\x1f{one}\x1f{other}" if one <= other else f"c2c\x1f{other}\x1f{one}"


def group_timeline(group_id: str) -> str:
    """Return a group's timeline."""
    return "group\x1f" + group_id


def system_timeline(user: str) -> str:
    """Return a user's own timeline of notices."""
    return "system\x1f" + user


def timeline_of(user: str, key: ConversationKey) -> str:
    """Return the timeline of a user's conversation."""
    match key.type:
        case ConversationType.C2C:
            return c2c_timeline(user, key.peer)
        case ConversationType.GROUP:
            return group_timeline(key.peer)
        case ConversationType.SYSTEM:
            return system_timeline(user)


class MsgKey(NamedTuple):
    """The deduplication key that a sender gives to a message: the sender's clock in seconds and a number of up to 63 bits."""

    client_time: int
    random: int

    @property
    def sourceless(self) -> int:
        """Return the number without the source of the msg_id, as a server of an older version stores it."""
        return self.random & 0xFFFFFFFF


class SendPlace(Protocol):
    """The place of an entry among the entries of its sender."""

    @property
    def failed(self) -> bool:
        """True if this entry, or an earlier one of the sender, was not stored; the entry must not be stored either."""
        ...

    def fail(self) -> None:
        """Note that the entry was not stored."""
        ...


class NewEntry(msgspec.Struct, frozen=True, gc=False):
    """A message to append. `msg_key` is None if the sender gave no deduplication key."""

    timeline: str
    sender: str
    msg_key: MsgKey | None
    fingerprint: bytes
    tail: bytes
    time: int
    contacts: tuple[str, ...] = ()  # users whose conversation lists show this timeline from its first entry on
    media: tuple[MediaRef, ...] = ()  # content that the message refers to; the sender must be allowed to read it
    kind: int = MESSAGE
    receipt: bool = False  # the sender requested read receipts
    mentions: tuple[str, ...] = ()  # user ids; "" mentions all members
    checks: tuple[VersionCheck, ...] = ()  # versions that must be current when the entry is stored
    place: SendPlace | None = None  # among the sender's entries; None if their order does not matter
    audience: tuple[str, ...] = ()  # the only users who may see the entry, whose content is granted to them
    window_s: int = 0  # time after which `msg_key` names another message; 0 for never
    callbacks: tuple[NewCallback, ...] = ()  # that are stored with the entry
    hidden_from: str = ""  # a user of the conversation who never sees the entry, as if it were deleted for this user
    imported: bool = False  # keeps its time, or is refused; its `msg_key` names it for all senders of the timeline

    @property
    def key_sender(self) -> str:
        """The sender for whom `msg_key` is unique; "" is no sender."""
        return "" if self.imported else self.sender

    @property
    def has_requests(self) -> bool:
        """True if the entry mentions users or requests read receipts, so that more than one row is stored."""
        return self.receipt or bool(self.mentions)

    @property
    def is_stored_alone(self) -> bool:
        """True if no statement for many entries can store this one. Such entries are rare."""
        return bool(self.media or self.window_s or self.callbacks or self.hidden_from)

    @property
    def is_overtaken(self) -> bool:
        """True if an earlier entry of the sender failed after this one was submitted."""
        return self.place is not None and self.place.failed


class Deletion(NamedTuple):
    """A deletion in the log of a user. `timeline` is the name of the timeline."""

    number: int
    timeline: str
    kind: int
    seq: int


class DeletionChange(NamedTuple):
    """The deletions of one request, and the last number of the log before them."""

    before: int
    deletions: Sequence[Deletion] = ()


class Appended(msgspec.Struct, frozen=True, gc=False):
    """The seq and time of a stored entry.

    `duplicate` is set if the entry already existed. `hidden` has the deletions of the user from whom a new entry is hidden.
    """

    seq: int
    time: int
    duplicate: bool = False
    hidden: DeletionChange | None = None


class NewAction(msgspec.Struct, frozen=True):
    """A message action to append. `tail.action` contains the seq of the message.

    The changed message is computed in the transaction that stores the action.
    """

    timeline: str
    sender: str
    msg_key: MsgKey | None
    fingerprint: bytes
    tail: EntryPayload
    time: int
    media: tuple[MediaRef, ...] = ()  # content that the body of an edit refers to
    reactions_limit: int = 10
    reacting_limit: int = 100
    checks: tuple[VersionCheck, ...] = ()  # versions that must be current when the action is stored
    callbacks: tuple[NewCallback, ...] = ()  # that are stored with the action


@dataclass(frozen=True, slots=True)
class StoredAction:
    """A stored message action with its payload.

    `changed` is False if the action already existed, or had nothing to change. `target` is the message after the action.
    """

    seq: int
    time: int
    tail: bytes
    changed: bool
    target: StoredEntry


class StoredEntry(msgspec.Struct, frozen=True, gc=False):
    """An entry of a timeline. `kind` is MESSAGE, ACTION, RECALLED, or one of the kinds with fewer effects."""

    seq: int
    time: int
    tail: bytes
    kind: int = MESSAGE


def stored_entry(seq: int, time: int, tail: bytes, kind: int = MESSAGE) -> StoredEntry:
    """Return the entry of a row, in a form that every client can decode."""
    return StoredEntry(seq, time, readable_payload(tail), kind)


class TimelinePage(msgspec.Struct, frozen=True, gc=False):
    """Entries, newest first, and the interval that they cover: all existing entries from `first` to `last`."""

    entries: Sequence[StoredEntry]
    first: int
    last: int  # less than `first` if no requested entry exists
    floor: int
    last_seq: int

"""What timelines hold, before it is stored and after, and what timelines are called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from ...ids import ConversationKey, ConversationType
from ...protocol.entries import EntryPayload
from ...protocol.media import MediaRef

MESSAGE, ACTION, RECALLED = 0, 1, 2  # kinds of entries; only messages are unread


def c2c_timeline(one: str, other: str) -> str:
    """Return the timeline of two users, in either order. User ids hold no control characters, so the name is unambiguous."""
    return "c2c\x1f" + "\x1f".join(sorted((one, other)))


def group_timeline(group_id: str) -> str:
    """Return a group's timeline."""
    return "group\x1f" + group_id


def system_timeline(user: str) -> str:
    """Return a user's own timeline of notices."""
    return "system\x1f" + user


def timeline_of(user: str, key: ConversationKey) -> str:
    """Return the timeline of a conversation as a user names it."""
    match key.type:
        case ConversationType.C2C:
            return c2c_timeline(user, key.peer)
        case ConversationType.GROUP:
            return group_timeline(key.peer)
        case ConversationType.SYSTEM:
            return system_timeline(user)


class MsgKey(NamedTuple):
    """What a sender calls its message: its clock in seconds and a random number."""

    client_time: int
    random: int


class NewEntry(msgspec.Struct, frozen=True, gc=False):
    """A message to append. `msg_key` None: the sender named it in no way that could be told from another's."""

    timeline: str
    sender: str
    msg_key: MsgKey | None
    fingerprint: bytes
    tail: bytes
    time: int
    contacts: tuple[str, ...] = ()  # users who see this timeline in their list from its first entry on
    media: tuple[MediaRef, ...] = ()  # content that it names: for those only that its sender may read
    kind: int = MESSAGE
    receipt: bool = False  # its sender wants to know who read it
    mentions: tuple[str, ...] = ()  # users; "": everybody

    @property
    def has_requests(self) -> bool:
        """Whether it is more than an entry: it calls somebody, or wants to know its readers."""
        return self.receipt or bool(self.mentions)


class Appended(msgspec.Struct, frozen=True, gc=False):
    """Where an entry stands; `duplicate` when it stood there before."""

    seq: int
    time: int
    duplicate: bool = False


class NewAction(msgspec.Struct, frozen=True):
    """An act to append: `tail.act` says on which seq. What the message is after it is found out when it is stored."""

    timeline: str
    sender: str
    msg_key: MsgKey | None
    fingerprint: bytes
    tail: EntryPayload
    time: int
    media: tuple[MediaRef, ...] = ()  # content that an edit's body names
    reactions_limit: int = 10
    reacting_limit: int = 100


@dataclass(frozen=True, slots=True)
class StoredAction:
    """Where an act stands, and its tail; `changed` False: it stood there before, or there was nothing to change.

    `target` is the message it acts on, as it is now.
    """

    seq: int
    time: int
    tail: bytes
    changed: bool
    target: StoredEntry


class StoredEntry(msgspec.Struct, frozen=True, gc=False):
    """`kind`: MESSAGE, ACT or RECALLED."""

    seq: int
    time: int
    tail: bytes
    kind: int = MESSAGE


class TimelinePage(msgspec.Struct, frozen=True, gc=False):
    """Entries newest first, and the interval they prove: one entry for each of its seqs but for those that are gone."""

    entries: Sequence[StoredEntry]
    first: int
    last: int  # first > last: nothing was asked for that exists
    floor: int
    last_seq: int

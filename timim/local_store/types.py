"""What goes into the local store and what comes out of it, as values. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import msgspec

from ..ids import ConversationKey
from ..message import Message, MessageState, MessageStatus, Priority, SenderMember, SenderProfile
from ..protocol.coverage import Coverage, Interval
from .message_actions import IncomingAction, ServerUnreadCount, UnreadCounts


class MessageRow(msgspec.Struct, frozen=True, gc=False):
    """A received message, as its row will be."""

    seq: int
    msg_id: str
    sender: str
    timestamp: int
    is_self: bool
    body: bytes
    priority: str = Priority.NORMAL.value
    cloud_custom_data: str = ""
    profile: SenderProfile | None = None
    member: SenderMember | None = None
    state: MessageState | None = None
    mentions: tuple[str, ...] = ()
    calls: bool = False  # it mentions this account, or everybody
    receipt: bool = False


@dataclass(frozen=True, slots=True)
class ConversationFlags:
    """What this account has of a conversation; `pinned`: since when, 0: it is not."""

    pinned: int = 0
    muted: bool = False
    draft: str = ""


@dataclass(frozen=True, slots=True)
class IngestBatch:
    """What came of one conversation, and the intervals that this proves.

    `live`: it came by itself, up to `head`, and what is new of it will be thrown; otherwise somebody asked for it.
    `acts_seq`: with this batch, all acts up to here are applied; those that are new are told.
    """

    key: ConversationKey
    incoming: Sequence[MessageRow] = ()
    covered: Sequence[Interval] = ()
    live: bool = False
    head: int = 0
    last_seq: int = 0
    last_time: int = 0
    read_seq: int = 0
    floor: int = 0
    acts: Sequence[IncomingAction] = ()
    acts_seq: int = 0
    user_id: str = ""
    count: ServerUnreadCount | None = None
    peer_read_seq: int = 0
    marks: ConversationFlags | None = None


@dataclass(frozen=True, slots=True)
class IngestResult:
    """What became of a batch: the messages to throw, in order, and how its conversation stands in the list.

    `unread` (with `mentioned`) None: nothing but the new messages changes it. `acted`: acts to tell of, each with its
    message as it is now. `peer_read_seq`: 0 if it has not risen.
    """

    key: ConversationKey
    new: Sequence[Message]
    listed: bool
    last_time: int
    unread: UnreadCounts | None
    acted: Sequence[tuple[IncomingAction, Message]] = ()
    peer_read_seq: int = 0
    marks: ConversationFlags | None = None


@dataclass(frozen=True, slots=True)
class ConversationRow:
    """What is known of a conversation. `listed`: it stands in the conversation list.

    docs/explanation/history_and_coverage.md explains `head`.
    """

    key: ConversationKey
    coverage: Coverage
    head: int
    last_seq: int
    read_seq: int
    floor: int
    listed: bool
    last_time: int
    acts_seq: int
    peer_read_seq: int
    marks: ConversationFlags
    draft_unsent: bool
    unread: int
    mentioned: int


@dataclass(frozen=True, slots=True)
class Ack:
    """The server numbered one of our own messages. Both ids name its row: a deleted one's `local_id` is used again."""

    key: ConversationKey
    local_id: int
    msg_id: str
    seq: int
    timestamp: int
    body: bytes
    profile: SenderProfile | None = None
    member: SenderMember | None = None


class AckResult(NamedTuple):
    """What became of an acked message's row. `status` None: the user deleted it meanwhile, it stays so and is not held."""

    status: MessageStatus | None
    local_id: int
    head: int  # of its conversation: it grows with messages that follow it


class RowPosition(NamedTuple):
    """Where a row stands in its conversation: at its seq, or behind the seq that was the last when it was made."""

    position: int
    local_id: int


class TimelineExtent(NamedTuple):
    """What is known of a timeline: the stored seqs, the first seq that may be seen, the last seq."""

    coverage: Coverage
    floor: int
    last_seq: int


class ListedConversation(NamedTuple):
    """A conversation of the list, with the time of its last message."""

    key: ConversationKey
    last_time: int
    unread: UnreadCounts


class FlaggedConversation(NamedTuple):
    """A conversation with flags, or a peer who has read up to `peer_read_seq`."""

    key: ConversationKey
    flags: ConversationFlags
    peer_read_seq: int


@dataclass(frozen=True, slots=True)
class SearchRows:
    """Messages newest first, the place of each among the results, and what is known of the timelines."""

    messages: list[Message]
    places: list[tuple[int, int]]
    known: dict[ConversationKey, TimelineExtent]


class MessageBinder(Protocol):
    """Makes messages that come out of the store those of a client."""

    def bind(self, message: Message) -> Message:
        """Bind a message, and return it."""
        ...


class PlainBinder:
    """A binder for a store without a client: it leaves messages as they are."""

    def bind(self, message: Message) -> Message:
        """Return the message."""
        return message

"""Values that the local store accepts and returns. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import msgspec

from ..ids import ConversationKey
from ..message import Message, MessageState, MessageStatus, Priority, SenderMember, SenderProfile
from ..protocol.coverage import Coverage, Interval
from .message_actions import IncomingAction
from .unread import ServerUnreadCount, UnreadCounts


class MessageRow(msgspec.Struct, frozen=True, gc=False):
    """A received message, to be stored as a row."""

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
    calls: bool = False  # mentions this account, or everybody
    requests: int = 0  # RECEIPT, EXTENSIBLE
    quiet: int = 0  # NO_UNREAD, NO_LAST, both, or 0
    expired: bool = False  # stored, but not delivered to handlers


@dataclass(frozen=True, slots=True)
class ConversationFlags:
    """This account's flags of a conversation; `pinned` is the time of pinning, or 0 if the conversation is not pinned.

    `version` is the server's: a higher one has newer values.
    """

    pinned: int = 0
    muted: bool = False
    draft: str = ""
    version: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class IngestBatch:
    """Received entries of one conversation, and the intervals that they cover.

    Attributes:
        live: The entries are new up to `delivered_seq`, and new messages are delivered to handlers. False for history queries.
        actions_seq: All actions up to this seq are applied with this batch; new ones are reported in the result.
        count: The server's unread count, if the server sent one.
    """

    key: ConversationKey
    incoming: Sequence[MessageRow] = ()
    covered: Sequence[Interval] = ()
    live: bool = False
    delivered_seq: int = 0
    last_seq: int = 0
    last_time: int = 0
    read_seq: int = 0
    reset_version: int = 0  # settings version at which the server's read seq was set back
    first_visible_seq: int = 0
    actions: Sequence[IncomingAction] = ()
    actions_seq: int = 0
    user_id: str = ""
    count: ServerUnreadCount | None = None
    peer_read_seq: int = 0
    flags: ConversationFlags | None = None


@dataclass(slots=True)
class IngestResult:
    """The result of storing a batch. The binder replaces its messages by the objects of their rows.

    Attributes:
        new: The messages to deliver to handlers, in order.
        listed: True if the conversation is in the conversation list.
        last: The place of the conversation in the list.
        unread: The unread counts; None if they grow by `added`.
        acted: The actions to report to handlers, each with its message in its new state.
        peer_read_seq: The seq up to which the peer has read; 0 if unchanged.
        flags: The flags, if the batch had flags.
        exact: False if rows are missing that only the server can count.
        fetched: The last message of the conversation, if a query fetched it.
        read_seq: The seq up to which this account has read, if the batch raised it, else 0.
        unread_from: The seq after which messages are unread again, because an administrator set the read seq back, or None.
        changed: Further messages whose state has changed.
    """

    key: ConversationKey
    new: list[Message]
    listed: bool
    last: LastPosition
    unread: UnreadCounts | None
    added: UnreadCounts
    acted: list[tuple[IncomingAction, Message]] = field(default_factory=list)
    peer_read_seq: int = 0
    flags: ConversationFlags | None = None
    exact: bool = True
    fetched: Message | None = None
    read_seq: int = 0
    changed: list[Message] = field(default_factory=list)
    unread_from: int | None = None


@dataclass(frozen=True, slots=True)
class ConversationRow:
    """The stored state of a conversation. `listed` is True if the conversation is in the conversation list.

    docs/explanation/history_and_coverage.md explains `delivered_seq`.
    """

    key: ConversationKey
    coverage: Coverage
    delivered_seq: int
    last_seq: int
    read_seq: int
    first_visible_seq: int
    listed: bool
    last_time: int
    actions_seq: int
    peer_read_seq: int
    flags: ConversationFlags
    unread: int
    mentioned: int

    @property
    def newest_seq(self) -> int:
        """The highest seq that this device has received, also if it was deleted here since."""
        return max(self.delivered_seq, self.coverage.last)


class LastPosition(NamedTuple):
    """The place of a conversation in the list: the server time of its last message, and the `local_id` of its row.

    The `local_id` orders the conversations whose last messages have the same second.
    """

    time: int
    local_id: int


NO_MESSAGE = LastPosition(0, 0)
NO_COUNTS = UnreadCounts(0, 0)


class Outgoing(msgspec.Struct, eq=False):
    """A message to store as SENDING.

    Attributes:
        message: The message, with its conversation and its msg_id.
        row_body: The message's elems, encoded.
        noted: True if the row says that the message may have left this device.
        listed_at: The time of the newest conversation of the list: the clock of this device may be wrong.
    """

    message: Message
    row_body: bytes
    noted: bool
    listed_at: int


class Ack(msgspec.Struct, frozen=True):
    """The server's ack of a sent message. Both ids identify the row, because the `local_id` of a deleted row is reused.

    Attributes:
        body: The encoded elems; None if the row has them.
        message: The object of the message, for the caller.
    """

    key: ConversationKey
    local_id: int
    msg_id: str
    seq: int
    timestamp: int
    body: bytes | None
    profile: SenderProfile | None = None
    member: SenderMember | None = None
    message: Message | None = None


class AckResult(NamedTuple):
    """The row of an acked message. `status` is None if the user deleted the row before the ack; it is not restored."""

    status: MessageStatus | None
    local_id: int
    delivered_seq: int  # of the conversation
    listed: bool
    last: LastPosition  # of the conversation
    changed: Message | None = None  # its new state, if actions had waited for the ack


@dataclass(frozen=True, slots=True)
class Removal:
    """The result of deleting messages on this device.

    Attributes:
        done: True if something was deleted.
        too_late: The message may have left this device, and was not deleted.
        withdrawn: The msg_ids of the deleted messages that were SENDING.
        unread: The unread counts of the conversation.
        last: The place of the conversation in the list.
        newest: The last message of the conversation that is not deleted.
    """

    done: bool
    too_late: bool = False
    withdrawn: frozenset[str] = frozenset()
    unread: UnreadCounts = NO_COUNTS
    last: LastPosition = NO_MESSAGE
    newest: Message | None = None


DELETIONS = "deletions"  # the name in `meta` of the number of the last deletion of all devices that was applied


class Erasure(NamedTuple):
    """A deletion at the server: of single messages, of all up to `cleared_seq`, or of the conversation from the list."""

    key: ConversationKey
    seqs: tuple[int, ...] = ()
    cleared_seq: int = 0
    unlisted_seq: int = 0

    def includes(self, message: Message) -> bool:
        """Return True if the message is deleted. Messages without a seq, which were not sent, stay."""
        return 0 < message.seq <= self.cleared_seq or message.seq in self.seqs


@dataclass(frozen=True, slots=True)
class Erased:
    """The result of an erasure on this device.

    Attributes:
        erasure: The deletion.
        changed: True if a row was deleted, or the conversation left the list.
        listed: True if the conversation is in the list now.
        unread: The unread counts.
        exact: False if only the server can count.
        last: The place of the conversation in the list.
        newest: The last message of the conversation that is not deleted.
    """

    erasure: Erasure
    changed: bool
    listed: bool
    unread: UnreadCounts
    exact: bool
    last: LastPosition
    newest: Message | None


class RowPosition(NamedTuple):
    """The sort key of a row in its conversation: its seq, or the last seq at the time when the row was created."""

    position: int
    local_id: int


class TimelineExtent(NamedTuple):
    """The extent of a timeline: the stored seqs, the first seq that the account may see, the last known seq."""

    coverage: Coverage
    first_visible_seq: int
    last_seq: int


class ListedConversation(NamedTuple):
    """A conversation, its place in the list if it is listed, and its unread counts."""

    key: ConversationKey
    listed: bool
    last: LastPosition
    unread: UnreadCounts


class FlaggedConversation(NamedTuple):
    """A conversation with flags, or a peer who has read up to `peer_read_seq`."""

    key: ConversationKey
    flags: ConversationFlags
    peer_read_seq: int


@dataclass(frozen=True, slots=True)
class SearchRows:
    """Messages newest first, the sort key of each, and the extents of the timelines."""

    messages: list[Message]
    sort_keys: list[tuple[int, int]]
    known: dict[ConversationKey, TimelineExtent]


class MessageBinder(Protocol):
    """Binds the messages that the store returns to a client."""

    def begin_read(self) -> int:
        """Note that a read begins; return the number to give to `end_read`, which must follow."""
        ...

    def end_read(self, begun: int, messages: Iterable[Message]) -> list[Message]:
        """Return the object of each message that a read has made of a row."""
        ...

    def written(self, message: Message) -> Message:
        """Return the object of a row that a write has reported."""
        ...

    def written_all(self, messages: Sequence[Message]) -> list[Message]:
        """Return the objects of rows of one conversation that a write has reported."""
        ...

    def changed(self, message: Message) -> None:
        """Note that a write has changed the row of this object, and the object."""
        ...


class PlainBinder:
    """A binder for a store without a client: it does not bind messages."""

    def begin_read(self) -> int:
        """Return 0."""
        return 0

    def end_read(self, begun: int, messages: Iterable[Message]) -> list[Message]:
        """Return the messages unchanged."""
        return list(messages)

    def written(self, message: Message) -> Message:
        """Return the message unchanged."""
        return message

    def written_all(self, messages: Sequence[Message]) -> list[Message]:
        """Return the messages unchanged."""
        return list(messages)

    def changed(self, message: Message) -> None:
        """Do nothing."""

"""Events that a client delivers besides messages. Each event is a frozen dataclass and a ClientEvent.

Register a handler with `client.on(ConnectionLost, …)`, or read a stream from `client.events(ConnectionLost, …)`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .elems import GroupNoticeElem, GroupTipElem, RelationElem
from .errors import TimimError
from .ids import SERVER_MSG_ID, ConversationKey, ConversationSetting
from .message import Message
from .protocol.do_not_disturb import DoNotDisturb
from .protocol.follows import FollowList
from .protocol.topics import TopicChange
from .util.displayed import Displayed

# fmt: off
__all__ = [
    "ClientEvent", "ConnectionLost", "ConnectionRestored", "ConversationChanged", "ConversationDeleted",
    "ConversationGroupsChanged", "ConversationSyncFailed", "DoNotDisturbChanged", "ExtensionsChanged", "FollowsChanged",
    "GroupChanged", "GroupCountersChanged", "GroupNoticeReceived", "GroupPinChanged", "HandlerFailed", "HistoryCleared",
    "HistoryReset", "KickedOut", "LabelsChanged", "MessageDeadLettered", "MessageEdited", "MessageFailed", "MessageRecalled",
    "MessagesDeleted", "ProfileChanged", "RateLimitReached", "ReactionsChanged", "ReadReceipt", "RelationChanged",
    "SettingRefused", "SignatureExpiring", "StatusChanged", "StoreReplaced", "TopicsChanged", "TypingChanged", "is_from_server",
]
# fmt: on


class ClientEvent(Displayed):
    """Base class of all events. An event is delivered to the handlers of its own class, and to streams of its classes."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class ConnectionLost(ClientEvent):
    """Loss of the connection. The client tries to connect again, and queued messages stay queued.

    The client does not reconnect if `error` is StoreCorrupted, because it cannot store messages, or after a fault of timim
    itself, which is in `error.__cause__`. Log in again in both cases; `login()` replaces a corrupt store.
    """

    error: TimimError


@dataclass(frozen=True, slots=True)
class ConnectionRestored(ClientEvent):
    """Restored connection. The messages that the client missed have been fetched."""


@dataclass(frozen=True, slots=True)
class KickedOut(ClientEvent):
    """End of this device's login by the server, or by an invalid signature; log in again with a new signature.

    `error` is KickedOffline if another device or an administrator ended the login, and SignatureExpired after the end of the
    signature, or its revocation (code 70052). A client whose `user_sig` is a function goes on with a new signature instead.
    """

    error: TimimError


@dataclass(frozen=True, slots=True)
class RateLimitReached(ClientEvent):
    """Refusal of a request over a rate limit of this account (60007). The client waits `retry_after_s` and sends it again.

    Messages wait in their order, and none fails. The event is delivered once for each pause.
    """

    error: TimimError
    retry_after_s: float


@dataclass(frozen=True, slots=True)
class SignatureExpiring(ClientEvent):
    """End of the UserSig of this login in an hour, or in the last tenth of its time if that is shorter.

    Nothing has to be done if `user_sig` of the client is a function. Otherwise call `login(user_sig=…)` with a new one after
    KickedOut, or log out and in again before.
    """

    expires_at: float


@dataclass(frozen=True, slots=True)
class MessageFailed(ClientEvent):
    """Failure of a message that was queued. Its status is FAILED; `error` is what `send()` raises if it still waits.

    This event reports messages of an earlier run too. `await event.message.resend()` tries again.
    """

    message: Message
    error: TimimError


@dataclass(frozen=True, slots=True)
class HistoryReset(ClientEvent):
    """New epoch of the server, which was restored from a back-up and may have lost the messages since then.

    The client discards its history coverage and fetches the history again; locally stored messages stay.
    """

    epoch: str


@dataclass(frozen=True, slots=True)
class ConversationSyncFailed(ClientEvent):
    """Failed sync of one conversation, or of the conversation list if `conversation` is None; the others are synced.

    The client tries again after `retry_after_s` seconds, which double with each failed attempt up to an hour; a new login does
    not shorten them. `missing` has the seqs of messages that cannot be decoded. If it is empty, the whole conversation waits,
    and its new messages are delivered after a later attempt. `conversation.sync_error` has the error until then.
    """

    conversation: ConversationKey | None
    error: TimimError
    attempts: int
    retry_after_s: float
    missing: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class StoreReplaced(ClientEvent):
    """Replacement of a corrupt local store. The old file is at `path` and can contain unsent messages.

    The client fills the new store from the server.
    """

    path: Path


@dataclass(frozen=True, slots=True)
class HandlerFailed(ClientEvent):
    """Error of a handler. The error is logged too, and later messages and events are delivered.

    `argument` is the message, the list of messages or the event that the handler was called with. Errors of handlers of this
    event are logged only.
    """

    handler: Callable[..., object]
    argument: list[Message] | Message | ClientEvent
    error: BaseException


@dataclass(frozen=True, slots=True)
class MessageDeadLettered(ClientEvent):
    """End of the attempts at a message: its handlers failed, or ended the program, `max_attempts` times.

    `client.dead_letters` has the message until it is retried or dropped. `error` is the text of the last error.
    """

    message: Message
    attempts: int
    error: str


@dataclass(frozen=True, slots=True)
class GroupChanged(ClientEvent):
    """Change of a group, such as a new member or a new name. `message` is its message in the group's conversation."""

    group_id: str
    tip: GroupTipElem
    message: Message


@dataclass(frozen=True, slots=True)
class GroupCountersChanged(ClientEvent):
    """Change of counters of a group by `user`, while this client was online; `counters` has the new values."""

    group_id: str
    counters: Mapping[str, int]
    user: str


@dataclass(frozen=True, slots=True)
class GroupPinChanged(ClientEvent):
    """Message `seq` of a group, pinned or unpinned by `user` for all members, while this client was online."""

    group_id: str
    seq: int
    pinned: bool
    user: str


@dataclass(frozen=True, slots=True)
class TopicsChanged(ClientEvent):
    """Topics of a Community, created, changed or deleted by `user`, while this client was online."""

    group_id: str
    topic_ids: tuple[str, ...]
    change: TopicChange
    user: str


@dataclass(frozen=True, slots=True)
class GroupNoticeReceived(ClientEvent):
    """Notice to this user about a group: applied, invited, kicked, dissolved … `message` is its system message."""

    group_id: str
    notice: GroupNoticeElem
    message: Message


@dataclass(frozen=True, slots=True)
class RelationChanged(ClientEvent):
    """Change of friends, applications, friend groups or the blacklist. `message` is its system message."""

    change: RelationElem
    message: Message


@dataclass(frozen=True, slots=True)
class ProfileChanged(ClientEvent):
    """Change of a friend's profile, or of this user's own on another device. `message` is its system message.

    `fields` has the new values by Tencent's tags.
    """

    user_id: str
    version: int
    fields: Mapping[str, str]
    message: Message


@dataclass(frozen=True, slots=True)
class MessageRecalled(ClientEvent):
    """Recall of a locally stored message by `operator`; `message` is the message without its content."""

    message: Message
    operator: str


@dataclass(frozen=True, slots=True)
class MessageEdited(ClientEvent):
    """Edit of a locally stored message by `operator`; `message` has the new content."""

    message: Message
    operator: str


@dataclass(frozen=True, slots=True)
class ReactionsChanged(ClientEvent):
    """Reaction of `user` to a locally stored message, added or `removed`; `message.reactions` has all reactions."""

    message: Message
    user: str
    reaction: str
    removed: bool


@dataclass(frozen=True, slots=True)
class ExtensionsChanged(ClientEvent):
    """Change of extensions of message `seq` by `user`, while this client was online: see `message.extensions`.

    `values` has the new values and `deleted` the deleted keys; `cleared` is True if all of them were deleted.
    """

    conversation: ConversationKey
    seq: int
    user: str
    values: Mapping[str, str]
    deleted: tuple[str, ...]
    cleared: bool


@dataclass(frozen=True, slots=True)
class ReadReceipt(ClientEvent):
    """Receipt for messages of this account.

    With a `user`, in C2C: the user has read all messages up to `seq`. Without one: `readers` users have read the message `seq`,
    which was sent with `request_receipt=True`, and `others` members of the group have not.
    """

    conversation: ConversationKey
    seq: int
    user: str = ""
    readers: int = 1
    others: int = 0


@dataclass(frozen=True, slots=True)
class FollowsChanged(ClientEvent):
    """User who was added to a list of this account or removed from it, while this client was online: see `client.follows`."""

    user_id: str
    list: FollowList
    added: bool


@dataclass(frozen=True, slots=True)
class LabelsChanged(ClientEvent):
    """Change of a conversation's labels on another device, while this client was online: see `client.conversations.labels`.

    The fields are the new labels: numbers of marks, custom data, and names of conversation groups.
    """

    conversation: ConversationKey
    marks: frozenset[int]
    custom_data: str
    groups: frozenset[str]


@dataclass(frozen=True, slots=True)
class MessagesDeleted(ClientEvent):
    """Deletion of messages of this account on another device: `Message.remove` with `everywhere`. Their rows are gone here too.

    A device that was offline gets it with the next login.
    """

    conversation: ConversationKey
    seqs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class HistoryCleared(ClientEvent):
    """Deletion of all messages of a conversation up to `seq`, by this account on another device; see MessagesDeleted."""

    conversation: ConversationKey
    seq: int


@dataclass(frozen=True, slots=True)
class ConversationDeleted(ClientEvent):
    """Deletion of a conversation from the list, by this account on another device; see MessagesDeleted."""

    conversation: ConversationKey


@dataclass(frozen=True, slots=True)
class ConversationGroupsChanged(ClientEvent):
    """Change of the conversation groups on another device, while this client was online: created, renamed, filled, deleted.

    `groups` are the names of all groups now, the oldest first.
    """

    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DoNotDisturbChanged(ClientEvent):
    """Change of the time without offline pushes on another device, while this client was online. None: there is none now."""

    quiet: DoNotDisturb | None


@dataclass(frozen=True, slots=True)
class StatusChanged(ClientEvent):
    """Status of a user that has changed while this client was online: see `client.statuses`.

    The user is one whom this account subscribed to, or this account itself, whose text another device has set.
    """

    user_id: str
    online: bool
    text: str


@dataclass(frozen=True, slots=True)
class TypingChanged(ClientEvent):
    """Begin or end of typing: `user` writes a message in `conversation`, or stopped if `active` is False.

    The status is not stored anywhere. A sender that loses its connection sends no end, so let it expire after 10 seconds.
    """

    conversation: ConversationKey
    user: str
    active: bool


@dataclass(frozen=True, slots=True)
class ConversationChanged(ClientEvent):
    """Change of a conversation's settings on another device of this account. The fields are the new values."""

    conversation: ConversationKey
    pinned: bool
    muted: bool
    draft: str


@dataclass(frozen=True, slots=True)
class SettingRefused(ClientEvent):
    """Refusal of a change of a conversation that no call waits for, such as one that was made without a connection.

    The conversation has the server's value of the setting again. `error` is the reason, as NotAMember.
    """

    conversation: ConversationKey
    setting: ConversationSetting
    error: TimimError


def is_from_server(message: Message) -> bool:
    """Return True if the server wrote the message; only such messages become events."""
    return message.msg_id == SERVER_MSG_ID

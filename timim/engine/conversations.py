"""The state of all conversations in memory, and the order of the conversation list.

Invariant: a state changes only after the local store has committed the change.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from ..errors import TimimError
from ..events import (
    ClientEvent,
    ConversationChanged,
    MessageEdited,
    MessageRecalled,
    ReactionsChanged,
    ReadReceipt,
    events_from_message,
    is_from_server,
    is_group_tip,
)
from ..ids import ConversationKey, ConversationType
from ..message import ALL, Message
from ..protocol.entries import MessageActionKind
from ..storage import ConversationFlags, IncomingAction, IngestResult
from .recent_messages import RecentMessages


class ConversationState:
    """In-memory state of one conversation, changed only after the store has committed the change."""

    __slots__ = (
        "active_at",
        "draft",
        "key",
        "mentioned",
        "muted",
        "peer_read_seq",
        "pinned_at",
        "recent",
        "sync_error",
        "unread",
    )

    def __init__(self, key: ConversationKey) -> None:
        self.key: ConversationKey = key
        self.active_at: float = 0.0  # server seconds of the last message
        self.unread: int = 0
        self.mentioned: int = 0  # unread messages that mention this account, or everybody
        self.peer_read_seq: int = 0  # in C2C: the seq up to which the peer has read
        self.pinned_at: int = 0  # server seconds; 0 if not pinned
        self.muted: bool = False
        self.draft: str = ""
        self.recent: RecentMessages = RecentMessages()
        self.sync_error: TimimError | None = None  # why the last sync of this conversation failed

    @property
    def rank(self) -> tuple[bool, float]:
        """The sort key in the conversation list: pinned conversations first, then by descending time."""
        return not self.pinned_at, -self.active_at

    def set_flags(self, flags: ConversationFlags) -> None:
        """Set this conversation's pin, mute and draft to the given values."""
        self.pinned_at, self.muted, self.draft = flags.pinned, flags.muted, flags.draft

    def set_peer_read(self, seq: int) -> None:
        """Raise the seq up to which the peer has read."""
        self.peer_read_seq = max(seq, self.peer_read_seq)
        self.recent.mark_read_by_peer(self.peer_read_seq)


class ConversationIndex:
    """All conversation states of an account, and the order of the conversation list."""

    def __init__(self, user_id: str) -> None:
        self._user_id = user_id
        self._states: dict[ConversationKey, ConversationState] = {}
        self._listed: list[ConversationState] = []  # by ascending `rank`
        self._listed_keys: set[ConversationKey] = set()

    def get(self, key: ConversationKey) -> ConversationState:
        """Return the state of a conversation, creating it if needed; the caller has validated `key`."""
        state = self._states.get(key)
        if state is None:
            state = self._states[key] = ConversationState(key)
        return state

    def find(self, key: ConversationKey | None) -> ConversationState | None:
        """Return the state of a conversation, or None if the conversation is unknown."""
        return self._states.get(key) if key is not None else None

    @property
    def listed(self) -> Sequence[ConversationState]:
        """The conversation list: pinned conversations first, then the newest. Read-only; copy it before an await."""
        return self._listed

    def is_listed(self, key: ConversationKey) -> bool:
        """Return whether a conversation is in the conversation list."""
        return key in self._listed_keys

    def load(
        self,
        flags: Sequence[tuple[ConversationKey, ConversationFlags, int]],
        listed: Sequence[tuple[ConversationKey, int, tuple[int, int]]],
    ) -> None:
        """Load the state from the store.

        Args:
            flags: Conversations with their flags and the seq up to which the peer has read.
            listed: The conversation list, newest first, with times and unread counts.
        """
        for key, one, peer_read_seq in flags:
            state = self.get(key)
            state.peer_read_seq = peer_read_seq
            state.set_flags(one)
        states: list[ConversationState] = []
        for key, active_at, unread in listed:
            state = self.get(key)
            state.active_at = active_at
            state.unread, state.mentioned = unread
            states.append(state)
        self._listed = sorted(states, key=lambda one: one.rank)
        self._listed_keys = {state.key for state in self._listed}

    def without_messages(self) -> list[ConversationKey]:
        """Return the listed conversations whose last message is not in memory."""
        return [state.key for state in self._listed if state.recent.newest is None]

    def newest_c2c(self) -> ConversationKey | None:
        """Return the first listed C2C conversation, or None if there is none."""
        return next((state.key for state in self._listed if state.key.type is ConversationType.C2C), None)

    def apply(self, result: IngestResult) -> list[ClientEvent]:
        """Apply a committed batch to its conversation; return the events to deliver, in order.

        The events do not include the new messages of `result`, which are delivered before the events.
        """
        state = self.get(result.key)
        moves = any(not message.excluded_from_last_message for message in result.new)
        if result.listed and (moves or not self.is_listed(result.key)):
            self._place(state, result.last_time)
        for message in result.new:
            if not (message.is_read or message.is_self or message.recalled or is_group_tip(message)):
                state.unread += 1
                state.mentioned += self._user_id in message.mentions or ALL in message.mentions
        state.recent.extend(result.new)
        if result.unread is not None:
            state.unread, state.mentioned = result.unread
        if result.flags is not None:
            self.apply_flags(result.key, result.flags)
        if result.peer_read_seq:
            state.set_peer_read(result.peer_read_seq)
        for _, message in result.acted:
            state.recent.update(message)
        return list(_events_of(result))

    def apply_read(self, key: ConversationKey, seq: int, unread: tuple[int, int]) -> None:
        """Apply this account's read position and the resulting unread counts."""
        state = self.get(key)
        state.unread, state.mentioned = unread
        state.recent.mark_read(seq)

    def apply_flags(self, key: ConversationKey, flags: ConversationFlags) -> None:
        """Apply new values of pin, mute and draft; pinning moves the conversation in the list."""
        state = self.get(key)
        listed = self.is_listed(key)
        self._remove(state)
        state.set_flags(flags)
        if listed:
            self._place(state, 0.0)

    def apply_event(self, event: ReadReceipt | ConversationChanged) -> None:
        """Apply a receipt, or a change that another device of this account made."""
        state = self.get(event.conversation)
        match event:
            case ReadReceipt(key, seq, _, readers, others) if key.type is ConversationType.GROUP:
                state.recent.set_receipt(seq, readers, others)
            case ReadReceipt():
                state.set_peer_read(event.seq)
            case ConversationChanged():
                self.apply_flags(event.conversation, ConversationFlags(int(event.pinned), event.muted, event.draft))

    def on_outgoing_stored(self, message: Message) -> None:
        """Move the conversation of a stored outgoing message to the top of the list.

        The message's time is not used for the order, because the clock of this device may be wrong.
        """
        assert message.conversation is not None
        state = self.get(message.conversation)
        if self._listed and self._listed[0] is state:
            return
        unpinned = bisect_left(self._listed, (True, -math.inf), key=lambda other: other.rank)
        newest = (*self._listed[:1], *self._listed[unpinned : unpinned + 1])
        self._place(state, max((other.active_at for other in newest), default=0.0))

    def on_message_changed(self, message: Message) -> None:
        """Apply an edit, recall or reaction of this device."""
        if message.conversation is not None:
            self.get(message.conversation).recent.update(message)

    def on_local_fields_changed(self, message: Message) -> None:
        """Apply a change of the fields that only this device stores."""
        if (state := self.find(message.conversation)) is not None:
            state.recent.update_local_fields(message)

    def on_message_deleted(self, message: Message) -> None:
        """Apply the deletion of a message's row."""
        if (state := self.find(message.conversation)) is not None:
            state.recent.remove(message)

    def on_conversation_deleted(self, key: ConversationKey, *, messages: bool) -> None:
        """Remove a conversation from the list, and if `messages`, its messages from memory."""
        state = self.get(key)
        self._remove(state)
        if messages:
            state.recent.clear()
            state.unread = state.mentioned = 0

    def _place(self, state: ConversationState, time: float) -> None:
        """Move a conversation to its position in the list for this server time, before others of the same second."""
        if self._listed and self._listed[0] is state:
            state.active_at = max(time, state.active_at)  # remains the first
            return
        self._remove(state)
        state.active_at = max(time, state.active_at)
        self._listed.insert(self._position(state), state)
        self._listed_keys.add(state.key)

    def _remove(self, state: ConversationState) -> None:
        if state.key in self._listed_keys:
            self._listed_keys.discard(state.key)
            at = self._position(state)
            while self._listed[at] is not state:
                at += 1
            del self._listed[at]

    def _position(self, state: ConversationState) -> int:
        return bisect_left(self._listed, state.rank, key=lambda other: other.rank)


def _events_of(result: IngestResult) -> Iterator[ClientEvent]:
    for action, message in result.acted:
        yield _action_event(action, message)
    if result.peer_read_seq:
        yield ReadReceipt(result.key, result.peer_read_seq, result.key.peer)
    for message in result.new:
        if is_from_server(message):
            yield from events_from_message(message)


def _action_event(action: IncomingAction, message: Message) -> MessageRecalled | MessageEdited | ReactionsChanged:
    match action.kind:
        case MessageActionKind.RECALL:
            return MessageRecalled(message, action.operator)
        case MessageActionKind.EDIT:
            return MessageEdited(message, action.operator)
        case _:
            return ReactionsChanged(message, action.operator, action.reaction, action.removed)

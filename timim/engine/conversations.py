"""The state of all conversations in memory, and the order of the conversation list.

Invariant: a state changes only after the local store has committed the change.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import groupby

from ..errors import TimimError
from ..events import (
    ClientEvent,
    ConversationChanged,
    MessageEdited,
    MessageRecalled,
    ReactionsChanged,
    ReadReceipt,
    is_from_server,
)
from ..ids import ConversationKey, ConversationType
from ..message import Message
from ..protocol.entries import MessageActionKind
from ..storage import (
    AckResult,
    ConversationFlags,
    Erased,
    IncomingAction,
    IngestResult,
    LastPosition,
    ListedConversation,
    Outgoing,
    Removal,
    UnreadCounts,
)
from .live_messages import LiveMessages, mark_read, mark_read_by_peer, mark_unread, set_receipt
from .message_events import events_from_message
from .recent_messages import RecentMessages


class ConversationState:
    """In-memory state of one conversation, changed only after the store has committed the change."""

    __slots__ = (
        "active_at",
        "draft",
        "key",
        "last_id",
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
        self.active_at: int = 0  # server seconds of the last message
        self.last_id: int = 0  # the row of the last message: orders conversations of one second
        self.unread: int = 0
        self.mentioned: int = 0  # unread messages that mention this account, or everybody
        self.peer_read_seq: int = 0  # in C2C: the seq up to which the peer has read
        self.pinned_at: int = 0  # server seconds; 0 if not pinned
        self.muted: bool = False
        self.draft: str = ""
        self.recent: RecentMessages = RecentMessages()
        self.sync_error: TimimError | None = None  # why the last sync of this conversation failed

    @property
    def rank(self) -> tuple[bool, int, int, ConversationKey]:
        """The sort key in the conversation list: pinned conversations first, then by descending time of the last message."""
        return not self.pinned_at, -self.active_at, -self.last_id, self.key

    def set_unread(self, counts: UnreadCounts) -> None:
        """Set the unread counts, which the local store has counted."""
        self.unread, self.mentioned = counts

    def set_flags(self, flags: ConversationFlags) -> None:
        """Set this conversation's pin, mute and draft to the given values."""
        self.pinned_at, self.muted, self.draft = flags.pinned, flags.muted, flags.draft


class ConversationIndex:
    """All conversation states of an account, and the order of the conversation list."""

    def __init__(self, user_id: str, live: LiveMessages) -> None:
        self._user_id = user_id
        self.live: LiveMessages = live
        self.live_rooms: set[str] = set()  # which this device joins again after a lost connection
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
        conversations: Sequence[ListedConversation],
    ) -> None:
        """Load the state from the store.

        Args:
            flags: Conversations with their flags and the seq up to which the peer has read.
            conversations: All conversations, with their places in the list and unread counts.
        """
        for key, one, peer_read_seq in flags:
            state = self.get(key)
            state.peer_read_seq = peer_read_seq
            state.set_flags(one)
        states: list[ConversationState] = []
        for key, listed, last, unread in conversations:
            state = self.get(key)
            state.active_at, state.last_id = last
            state.set_unread(unread)
            if listed:
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
        if result.listed:
            self._place(state, result.last)
        state.recent.extend(result.new)
        if result.fetched is not None:
            state.recent.add(result.fetched)
        if result.unread is not None:
            state.set_unread(result.unread)
        else:
            state.unread += result.added.unread
            state.mentioned += result.added.mentioned
        if result.flags is not None:
            self.apply_flags(result.key, result.flags)
        if result.peer_read_seq:
            self._set_peer_read(state, result.peer_read_seq)
        if result.read_seq:
            self.live.change_all(result.key, mark_read(result.read_seq))
        if result.unread_from is not None:
            self.live.change_all(result.key, mark_unread(result.unread_from))
        return list(_events_of(result))

    def apply_read(self, key: ConversationKey, seq: int, unread: UnreadCounts) -> None:
        """Apply this account's read position and the resulting unread counts."""
        state = self.get(key)
        state.set_unread(unread)
        self.live.change_all(key, mark_read(seq))

    def apply_unread(self, key: ConversationKey, read_seq: int, unread: UnreadCounts) -> None:
        """Set this account's read position back, because the server refused a higher one, or an administrator set it."""
        state = self.get(key)
        state.set_unread(unread)
        self.live.change_all(key, mark_unread(read_seq))

    def apply_flags(self, key: ConversationKey, flags: ConversationFlags) -> None:
        """Apply new values of pin, mute and draft; pinning moves the conversation in the list."""
        state = self.get(key)
        if flags.pinned == state.pinned_at:  # the place in the list is the same
            state.set_flags(flags)
            return
        listed = self.is_listed(key)
        self._remove(state)
        state.set_flags(flags)
        if listed:
            self._insert(state)

    def apply_event(self, event: ReadReceipt | ConversationChanged) -> None:
        """Apply a receipt, or a change that another device of this account made."""
        state = self.get(event.conversation)
        match event:
            case ReadReceipt(key, seq, "", readers, others):
                self.live.change_all(key, set_receipt(seq, readers, others))
            case ReadReceipt():
                self._set_peer_read(state, event.seq)
            case ConversationChanged():
                self.apply_flags(event.conversation, ConversationFlags(int(event.pinned), event.muted, event.draft))

    @property
    def newest_time(self) -> int:
        """The time of the newest conversation of the list, for a message to be sent.

        The message's time is not used for the order, because the clock of this device may be wrong.
        """
        if not self._listed:
            return 0
        time = self._listed[0].active_at
        if self._listed[0].pinned_at:
            unpinned = bisect_left(self._listed, True, key=lambda other: not other.pinned_at)
            time = max((time, *(other.active_at for other in self._listed[unpinned : unpinned + 1])))
        return time

    def on_outgoing_stored(self, outgoing: Sequence[Outgoing]) -> None:
        """Move the conversations of stored outgoing messages to the top of the list; `listed_at` was `newest_time`."""
        for key, of_one in groupby(outgoing, key=lambda one: one.message.key):
            assert key is not None
            state, of_key = self.get(key), list(of_one)
            listed_at = max(state.active_at, *(one.listed_at for one in of_key))
            self._place(state, LastPosition(listed_at, of_key[-1].message.local_id))
            state.recent.extend([one.message for one in of_key])
            for one in of_key:
                self.live.add(one.message)

    def on_acked(self, message: Message) -> None:
        """Apply the seq and the time of a sent message, shortly before the store does."""
        if (state := self.find(message.key)) is not None:
            state.recent.on_acked(message)
            if message.seq <= state.peer_read_seq:  # the peer's receipt came before the ack
                mark_read_by_peer(state.peer_read_seq)(message)
            last = message.timestamp, message.local_id
            if last > (state.active_at, state.last_id) and state.key in self._listed_keys:
                self._place(state, LastPosition(*last))

    def on_settled(self, key: ConversationKey, result: AckResult) -> None:
        """Apply the last of the acks that one transaction has stored for a conversation."""
        if result.listed:
            self._place(self.get(key), result.last)

    def on_message_deleted(self, key: ConversationKey, message: Message, removal: Removal, *, keep_row: bool) -> None:
        """Apply the deletion of a message."""
        state = self.get(key)
        if keep_row:
            self.live.changed(message)
        else:
            self.live.forget(message)
            state.recent.remove(message)
        if removal.newest is not None:
            state.recent.add(removal.newest)
        state.set_unread(removal.unread)
        if self.is_listed(key):
            self._place(state, removal.last)

    def on_conversation_deleted(self, key: ConversationKey, removal: Removal, *, messages: bool) -> None:
        """Remove a conversation from the list, and if `messages`, its messages from memory."""
        state = self.get(key)
        self._remove(state)
        if messages:
            self.live.forget_conversation(key)
            state.recent.clear()
        state.set_unread(removal.unread)

    def on_erased(self, erased: Erased) -> None:
        """Apply a deletion of all devices."""
        key, includes = erased.erasure.key, erased.erasure.includes
        state = self.get(key)
        self.live.erase(key, includes)
        for message in state.recent.all():
            if includes(message):
                state.recent.remove(message)
        if erased.newest is not None:
            state.recent.add(erased.newest)
        state.set_unread(erased.unread)
        if erased.listed:
            self._place(state, erased.last)
        else:
            self._remove(state)

    def _set_peer_read(self, state: ConversationState, seq: int) -> None:
        """Raise the seq up to which the peer has read."""
        state.peer_read_seq = max(seq, state.peer_read_seq)
        self.live.change_all(state.key, mark_read_by_peer(state.peer_read_seq))

    def _place(self, state: ConversationState, last: LastPosition) -> None:
        """Move a conversation to the place of its last message, and list it if it is not listed."""
        here = (state.active_at, state.last_id)
        if here == last and state.key in self._listed_keys:
            return
        if self._listed and self._listed[0] is state and last >= here:
            state.active_at, state.last_id = last  # remains the first
            return
        self._remove(state)
        state.active_at, state.last_id = last
        self._insert(state)

    def _insert(self, state: ConversationState) -> None:
        self._listed.insert(self._position(state), state)
        self._listed_keys.add(state.key)

    def _remove(self, state: ConversationState) -> None:
        if state.key in self._listed_keys:
            self._listed_keys.discard(state.key)
            del self._listed[self._position(state)]

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

"""All conversations of a client: the objects, the list of them, and what each news does to both and is told of.

One object stands for one (type, peer), for as long as the client lives. Whatever is news here is on disk already.
"""

from __future__ import annotations

from collections.abc import Callable

from ..conversation import Conversation, Engine
from ..conversation_list import ConversationList
from ..events import ConversationChanged, ProfileChanged, ReadReceipt, event_of, events_of, is_tip, of_server
from ..ids import ConversationKey, ConversationType
from ..message import ALL, Message
from ..storage import ConversationFlags, IngestResult, LocalStore
from .dispatcher import Dispatcher

SHOWN_AT_ONCE = 500  # last messages that are read from disk at once


class Roster:
    """`bind` makes messages the client's; `profile` hears of profiles that changed."""

    def __init__(
        self,
        store: LocalStore,
        dispatcher: Dispatcher,
        *,
        user_id: str,
        engine: Callable[[], Engine],
        bind: Callable[[Message], Message],
        profile: Callable[[ProfileChanged], None],
    ) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._user_id = user_id
        self._engine = engine
        self._bind = bind
        self._profile = profile
        self._known: dict[ConversationKey, Conversation] = {}
        self.listed = ConversationList()

    def find(self, key: ConversationKey) -> Conversation | None:
        """The conversation, if it was asked for, or heard of, before."""
        return self._known.get(key)

    def of(self, key: ConversationKey) -> Conversation:
        """The conversation; `key` has been checked."""
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = Conversation(key, self._engine)
        return found

    async def load(self) -> None:
        """The list as the store has it. Raises StorageError."""
        for key, marks, peer_read_seq in await self._store.marked():
            conversation = self.of(key)
            conversation.peer_read_seq = peer_read_seq
            conversation._set(marks)
        self.listed._load([(self.of(key), time, unread) for key, time, unread in await self._store.listed()])

    def without_last(self) -> list[Conversation]:
        """Those of the list whose last message is not at hand."""
        return [conversation for conversation in self.listed if conversation.last_message is None]

    async def show_last(self, conversations: list[Conversation]) -> None:
        """Put the last message that the store has of these at hand. Raises StorageError."""
        for first in range(0, len(conversations), SHOWN_AT_ONCE):
            some = conversations[first : first + SHOWN_AT_ONCE]
            for message in await self._store.last_messages([conversation.key for conversation in some]):
                assert message.conversation is not None
                conversation = self.of(message.conversation)
                if conversation.last_message is None:
                    conversation._last.add(self._bind(message))

    def stored(self, stored: IngestResult) -> None:
        """Something came of a conversation, and is on disk."""
        conversation = self.of(stored.key)
        if stored.listed and (stored.new or conversation not in self.listed):
            self.listed._place(conversation, stored.last_time)
        for message in stored.new:
            if not (message.is_read or message.is_self or message.recalled or is_tip(message)):
                conversation.unread += 1
                conversation.mentioned += self._user_id in message.mentions or ALL in message.mentions
        conversation._last.add_all(stored.new)
        if stored.unread is not None:
            conversation.unread, conversation.mentioned = stored.unread
        if stored.marks is not None:
            self.marked(stored.key, stored.marks)
        if stored.peer_read_seq:
            conversation._peer_read(stored.peer_read_seq)
        for _, message in stored.acted:
            conversation._last.changed(message)
        self._dispatcher.messages(stored.new)
        for act, message in stored.acted:
            self._dispatcher.event(event_of(act, message))
        if stored.peer_read_seq:
            self._dispatcher.event(ReadReceipt(stored.key, stored.peer_read_seq, stored.key.peer))
        for event in (event for message in stored.new if of_server(message) for event in events_of(message)):
            if isinstance(event, ProfileChanged):
                self._profile(event)
            self._dispatcher.event(event)

    def spoken(self, message: Message) -> None:
        """One of our own messages is on disk, and waits to be sent."""
        assert message.conversation is not None
        self._bind(message)
        self.listed._place_first(self.of(message.conversation))

    def read(self, key: ConversationKey, read_seq: int, unread: tuple[int, int]) -> None:
        """This account has read up to here."""
        self.of(key)._read_up_to(read_seq, unread)

    def told(self, fact: ReadReceipt | ConversationChanged) -> None:
        """What others have read, or this account has done to a conversation elsewhere, is news."""
        conversation = self.of(fact.conversation)
        match fact:
            case ReadReceipt(key, seq, _, readers, others) if key.type is ConversationType.GROUP:
                conversation._last.receipt(seq, readers, others)
            case ReadReceipt():
                conversation._peer_read(fact.seq)
            case ConversationChanged():
                self.marked(fact.conversation, ConversationFlags(int(fact.pinned), fact.muted, fact.draft))
        self._dispatcher.event(fact)

    def marked(self, key: ConversationKey, marks: ConversationFlags) -> None:
        """What this account has of a conversation now."""
        self.listed._mark(self.of(key), marks)

    def changed(self, message: Message) -> None:
        """An act of this device made a message another."""
        self._bind(message)
        if message.conversation is not None:
            self.of(message.conversation)._last.changed(message)

    def gone(self, message: Message) -> None:
        """A message's row was deleted."""
        if message.conversation is not None and (conversation := self.find(message.conversation)) is not None:
            conversation._last.forget(message)

    def touched(self, message: Message) -> None:
        """A message got a mark or a field of the user's."""
        if message.conversation is not None and (conversation := self.find(message.conversation)) is not None:
            conversation._last.marked(message)

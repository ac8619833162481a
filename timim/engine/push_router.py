"""What the server says on its own: entries go to the inbox, everything else to who it concerns. Never blocks.

Tips and notices come in forms of their own, and leave as entries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache

import msgspec

from ..ids import SYSTEM_PEER, ConversationKey, ConversationType
from ..protocol import session
from ..protocol.codec import decode
from ..protocol.entries import Entry
from ..protocol.notices import entry_from_push
from .inbox import Inbox

Fact = session.ReadNotice | session.ReceiptNotice | session.ConversationSettingsNotice
SYSTEM = ConversationKey(ConversationType.SYSTEM, SYSTEM_PEER)
TALKING = 1024  # conversations whose keys are kept


class Pushes:
    """`facts` gets notices that are no entries, in their order; `kicked` hears why this device's login was ended."""

    def __init__(self, inbox: Inbox, *, user_id: str, facts: Callable[[Fact], None], kicked: Callable[[str], None]) -> None:
        self._inbox = inbox
        self._user_id = user_id
        self._facts = facts
        self._kicked = kicked

    def receive(self, push: session.DecodedPush) -> None:
        """Raises ProtocolError for what no push may hold."""
        for event in push.events:
            for key, entry in pushed_entries(event, self._user_id):
                self._inbox.push(key, entry)
            match event.event:
                case session.EVENT_READ:
                    self._all(session.ReadNotice, event.reads)
                case session.EVENT_RECEIPT:
                    self._all(session.ReceiptNotice, event.receipts)
                case session.EVENT_CONVERSATION_SETTINGS:
                    self._all(session.ConversationSettingsNotice, event.settings)
                case session.EVENT_C2C_NOTICE if event.sub_msg_type == session.SUB_KICKED:
                    self._kicked(event.kick.reason if not isinstance(event.kick, msgspec.UnsetType) else "")
                case _:
                    pass  # entries, or an event that this version does not know

    def _all(self, kind: type[Fact], raws: list[msgspec.Raw]) -> None:
        for raw in raws:
            self._facts(decode(kind, raw))


def pushed_entries(event: session.DecodedEvent, user_id: str) -> Iterator[tuple[ConversationKey, Entry]]:
    """The entries of one event, none when its kind carries none. Raises ProtocolError."""
    match event.event:
        case session.EVENT_C2C_MESSAGE:
            return _addressed(event.c2c, user_id)
        case session.EVENT_GROUP_MESSAGE:
            return _addressed(event.group, user_id)
        case session.EVENT_MESSAGE_ACTION:
            return _addressed(event.actions, user_id)
        case session.EVENT_GROUP_TIP:
            return _addressed((entry_from_push(event.event, raw) for raw in event.tips), user_id)
        case session.EVENT_GROUP_NOTICE:
            raws = event.tips
        case session.EVENT_RELATION:
            raws = event.friends
        case session.EVENT_PROFILE:
            raws = event.profiles
        case _:
            raws = []  # no entries, or a kind that this version does not know
    return ((SYSTEM, entry_from_push(event.event, raw)) for raw in raws)


def _addressed(entries: Iterable[Entry], user_id: str) -> Iterator[tuple[ConversationKey, Entry]]:
    """Each with the conversation that it names."""
    for entry in entries:
        if entry.to_group_id:
            yield _key(ConversationType.GROUP, entry.to_group_id), entry
        else:
            peer = entry.to_account if entry.from_account == user_id else entry.from_account
            yield _key(ConversationType.C2C, peer), entry


@lru_cache(maxsize=TALKING)
def _key(type: ConversationType, peer: str) -> ConversationKey:
    """The same object for all that comes of a conversation."""
    return ConversationKey(type, peer)

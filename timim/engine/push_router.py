"""Routes pushes: entries to the inbox, notices to the conversation settings, a kick to the connection. Never blocks.

Tips and notices have forms of their own on the wire, and become entries here.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Iterator
from functools import lru_cache

import msgspec

from ..errors import KickedOffline, TimimError
from ..ids import SYSTEM_CONVERSATION, ConversationKey, ConversationType
from ..protocol import session
from ..protocol.codec import decode
from ..protocol.entries import Entry
from ..protocol.notices import entry_from_push
from ..transport.connection import Connection
from .config import ClientConfig
from .conversation_settings import ConversationSettings
from .inbox import Inbox

log = logging.getLogger("timim")
Notice = session.ReadNotice | session.ReceiptNotice | session.ConversationSettingsNotice
KEYS_CACHED = 1024  # conversations whose keys are kept


class PushRouter:
    """Routes the pushes of one client. Notices are applied by `run`, one at a time, in the order in which they came."""

    def __init__(self, config: ClientConfig, connection: Connection, inbox: Inbox, settings: ConversationSettings) -> None:
        self._user_id = config.user_id
        self._connection = connection
        self._inbox = inbox
        self._settings = settings
        self._notices: deque[Notice] = deque()
        self._wake = asyncio.Event()

    def route(self, push: session.DecodedPush) -> None:
        """Route the events of a push. Raises ProtocolError when an event is malformed."""
        for event in push.events:
            for key, entry in pushed_entries(event, self._user_id):
                self._inbox.push(key, entry)
            match event.event:
                case session.EVENT_READ:
                    self._add(session.ReadNotice, event.reads)
                case session.EVENT_RECEIPT:
                    self._add(session.ReceiptNotice, event.receipts)
                case session.EVENT_CONVERSATION_SETTINGS:
                    self._add(session.ConversationSettingsNotice, event.settings)
                case session.EVENT_C2C_NOTICE if event.sub_msg_type == session.SUB_KICKED:
                    reason = event.kick.reason if not isinstance(event.kick, msgspec.UnsetType) else ""
                    self._connection.give_up(KickedOffline(reason or "another login took this device's place"))
                case _:
                    pass  # entries, or an event that this version does not know

    def reset(self) -> None:
        """Forget the notices that wait: the next login's sync brings their content."""
        self._notices.clear()

    async def run(self) -> None:
        """Apply notices, for ever."""
        while True:
            while self._notices:
                try:
                    await self._apply(self._notices[0])
                except TimimError:
                    log.exception("a notice was not applied, the next login repeats it")
                self._notices.popleft()
            self._wake.clear()
            await self._wake.wait()

    async def _apply(self, notice: Notice) -> None:
        match notice:
            case session.ReadNotice():
                await self._settings.apply_read_notice(notice)
            case session.ReceiptNotice():
                await self._settings.apply_receipt(notice)
            case session.ConversationSettingsNotice():
                await self._settings.apply_settings_notice(notice)

    def _add(self, kind: type[Notice], raws: list[msgspec.Raw]) -> None:
        self._notices.extend(decode(kind, raw) for raw in raws)
        self._wake.set()


def pushed_entries(event: session.DecodedEvent, user_id: str) -> Iterator[tuple[ConversationKey, Entry]]:
    """Return the entries of one event with their conversations; none when the kind carries none. Raises ProtocolError."""
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
    return ((SYSTEM_CONVERSATION, entry_from_push(event.event, raw)) for raw in raws)


def _addressed(entries: Iterable[Entry], user_id: str) -> Iterator[tuple[ConversationKey, Entry]]:
    for entry in entries:
        if entry.to_group_id:
            yield _key(ConversationType.GROUP, entry.to_group_id), entry
        else:
            peer = entry.to_account if entry.from_account == user_id else entry.from_account
            yield _key(ConversationType.C2C, peer), entry


@lru_cache(maxsize=KEYS_CACHED)
def _key(type: ConversationType, peer: str) -> ConversationKey:
    """Return one object for all entries of a conversation."""
    return ConversationKey(type, peer)

"""What the server says on its own: entries go to the inbox, everything else to who it concerns. Never blocks."""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec

from ..ids import ConversationKey, ConversationType
from ..wire import status
from ..wire.codec import decode
from ..wire.entries import Entry
from .inbox import Inbox

log = logging.getLogger("timim")


class Pushes:
    """`read` hears of conversations that this account read elsewhere, `kicked` why this device's login was ended."""

    def __init__(
        self, inbox: Inbox, *, user_id: str, read: Callable[[ConversationKey, int], None], kicked: Callable[[str], None]
    ) -> None:
        self._inbox = inbox
        self._user_id = user_id
        self._read = read
        self._kicked = kicked

    def receive(self, push: status.Push) -> None:
        """Raises ProtocolError for what no push may hold."""
        for event in push.events:
            match event.event:
                case status.EVENT_C2C_MESSAGE:
                    for raw in event.c2c:
                        entry = decode(Entry, raw)
                        mine = entry.from_account == self._user_id
                        peer = entry.to_account if mine else entry.from_account
                        self._inbox.push(ConversationKey(ConversationType.C2C, peer), entry)
                case status.EVENT_GROUP_MESSAGE:
                    for raw in event.group:
                        entry = decode(Entry, raw)
                        self._inbox.push(ConversationKey(ConversationType.GROUP, entry.to_group_id), entry)
                case status.EVENT_READ if not isinstance(event.read, msgspec.UnsetType):
                    notice = event.read
                    type = ConversationType.GROUP if notice.group_id else ConversationType.C2C
                    self._read(ConversationKey(type, notice.group_id or notice.peer), notice.read_seq)
                case status.EVENT_C2C_NOTICE if event.sub_msg_type == status.SUB_KICKED:
                    self._kicked(event.kick.reason if not isinstance(event.kick, msgspec.UnsetType) else "")
                case _:
                    log.debug("an event that this version does not know: %s", event.event)

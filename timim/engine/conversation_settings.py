"""What is known of conversations besides their entries: read, by whom, pinned, muted, a draft. The same on all devices.

Invariant: what changes is told once, by what the local store reports as news. A draft is kept here first, and goes to the
server as soon as there is a connection; of two devices the one that wrote last wins.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from msgspec import UNSET

from ..errors import NetworkError, NotLoggedIn, ServerRefused
from ..events import ConversationChanged, ReadReceipt
from ..ids import SYSTEM_PEER, ConversationKey, ConversationType
from ..protocol import conversation_settings as wire
from ..protocol import session
from ..protocol.conversation_list import ReceiptNotice
from ..storage import ConversationFlags, LocalStore, UnreadCount
from ..transport.connection import Connection

log = logging.getLogger("timim")
READS_AT_ONCE = 500
SYSTEM = ConversationKey(ConversationType.SYSTEM, SYSTEM_PEER)


class Marking:
    """`read` hears what is unread of a conversation now, `tell` of events."""

    def __init__(
        self,
        store: LocalStore,
        connection: Connection,
        *,
        read: Callable[[ConversationKey, int, tuple[int, int]], None],
        tell: Callable[[ReadReceipt | ConversationChanged], None],
    ) -> None:
        self._store = store
        self._connection = connection
        self._read = read
        self._tell = tell

    async def mark_read(self, reads: Sequence[tuple[ConversationKey, int]]) -> None:
        """These conversations are read up to these seqs. Raises NetworkError, NotLoggedIn, NotAMember."""
        for at in range(0, len(reads), READS_AT_ONCE):
            some = reads[at : at + READS_AT_ONCE]
            items = [_read_one(key, seq) for key, seq in some]
            reply = await self._connection.call(wire.READ_CONVERSATIONS, wire.ReadConversationsRequest(items=items))
            for (key, _), state in zip(some, reply.states, strict=True):
                count = UnreadCount(state.unread, state.mentioned, state.unread_seq)
                await self._set_read(key, state.read_seq, count)

    async def set_marks(
        self, key: ConversationKey, *, pinned: bool | None = None, muted: bool | None = None
    ) -> ConversationFlags:
        """Pin or mute; what is None stays. Raises NetworkError, NotLoggedIn, NotAMember."""
        body = _marks_body(key)
        body.pinned = UNSET if pinned is None else int(pinned)
        body.muted = UNSET if muted is None else int(muted)
        reply = await self._connection.call(wire.SET_CONVERSATION_SETTINGS, body)
        marks = ConversationFlags(reply.pinned, bool(reply.muted), reply.draft)
        return (await self._store.set_marks(key, marks))[0]

    async def set_draft(self, key: ConversationKey, draft: str) -> None:
        """Keep a draft, also when there is no connection now. Raises InvalidArgument, StorageError."""
        await self._store.set_draft(key, draft, unsent=True)
        try:
            await self._send_draft(key, draft)
        except (NetworkError, NotLoggedIn):
            pass  # after the next login

    async def send_drafts(self) -> None:
        """Send the drafts that were written while there was no connection."""
        for key, draft in await self._store.unsent_drafts():
            try:
                await self._send_draft(key, draft)
            except ServerRefused as exc:
                log.info("the draft of %s stays on this device: %s", key, exc)

    async def _send_draft(self, key: ConversationKey, draft: str) -> None:
        body = _marks_body(key)
        body.draft = draft
        await self._connection.call(wire.SET_CONVERSATION_SETTINGS, body)
        await self._store.draft_sent(key, draft)

    async def read_elsewhere(self, notice: session.ReadNotice) -> None:
        """Another device of this account has read a conversation."""
        count = UnreadCount(notice.unread, notice.mentioned, notice.unread_seq)
        await self._set_read(_key(notice.peer, notice.group_id, notice.system), notice.read_seq, count)

    async def receipt(self, notice: ReceiptNotice) -> None:
        """Somebody has read what this account sent."""
        if notice.group_id:
            key = ConversationKey(ConversationType.GROUP, notice.group_id)
            if await self._store.set_receipt(key, notice.seq, notice.readers, notice.others):
                self._tell(ReadReceipt(key, notice.seq, "", notice.readers, notice.others))
        else:
            key = ConversationKey(ConversationType.C2C, notice.peer)
            if await self._store.set_peer_read(key, notice.read_seq):
                self._tell(ReadReceipt(key, notice.read_seq, notice.peer))

    async def marked_elsewhere(self, notice: session.ConversationSettingsNotice) -> None:
        """Another device of this account pinned, muted, or kept a draft."""
        key = _key(notice.peer, notice.group_id, notice.system)
        marks = ConversationFlags(notice.pinned, bool(notice.muted), notice.draft)
        marks, news = await self._store.set_marks(key, marks)
        if news:
            self._tell(ConversationChanged(key, bool(marks.pinned), marks.muted, marks.draft))

    async def _set_read(self, key: ConversationKey, seq: int, count: UnreadCount) -> None:
        self._read(key, seq, await self._store.set_read(key, seq, count if count.seq else None))


def _key(peer: str, group_id: str, system: int) -> ConversationKey:
    if system:
        return SYSTEM
    return ConversationKey(ConversationType.GROUP if group_id else ConversationType.C2C, group_id or peer)


def _read_one(key: ConversationKey, seq: int) -> wire.ReadPosition:
    match key.type:
        case ConversationType.C2C:
            return wire.ReadPosition(peer=key.peer, read_seq=seq)
        case ConversationType.GROUP:
            return wire.ReadPosition(group_id=key.peer, read_seq=seq)
        case ConversationType.SYSTEM:
            return wire.ReadPosition(system=1, read_seq=seq)


def _marks_body(key: ConversationKey) -> wire.SetConversationSettingsRequest:
    match key.type:
        case ConversationType.C2C:
            return wire.SetConversationSettingsRequest(peer=key.peer)
        case ConversationType.GROUP:
            return wire.SetConversationSettingsRequest(group_id=key.peer)
        case ConversationType.SYSTEM:
            return wire.SetConversationSettingsRequest(system=1)

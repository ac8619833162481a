"""Conversation settings that all devices share: read positions, receipts, pins, mutes, drafts.

Invariant: a change is reported to handlers once, when the local store reports it as new. A draft is stored locally first,
and sent to the server when there is a connection. If two devices write a draft, the last write wins.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from msgspec import UNSET

from ..errors import InvalidArgument, NetworkError, NotLoggedIn, RequestTimeout, ServerRefused
from ..events import ConversationChanged, ReadReceipt
from ..ids import ConversationKey, ConversationType
from ..protocol import conversation_settings as wire
from ..protocol import session
from ..protocol.conversation_list import ReceiptNotice
from ..protocol.messages import Address
from ..storage import ConversationFlags, LocalStore, ServerUnreadCount
from ..transport.connection import Connection
from .conversations import ConversationIndex
from .dispatcher import Dispatcher

log = logging.getLogger(__name__)
READS_AT_ONCE = 500


class ConversationSettings:
    """Sends this user's read positions, pins, mutes and drafts, and applies those of other devices and users."""

    def __init__(
        self, store: LocalStore, connection: Connection, conversations: ConversationIndex, dispatcher: Dispatcher
    ) -> None:
        self._store = store
        self._connection = connection
        self._conversations = conversations
        self._dispatcher = dispatcher

    async def mark_read(self, reads: Sequence[tuple[ConversationKey, int]]) -> None:
        """Mark conversations as read up to the given seqs.

        Raises:
            NetworkError: The server cannot be reached.
            NotLoggedIn: The client is logged out.
            NotAMember: The account is not a member of one of the groups.
        """
        self._store.check_open()
        for at in range(0, len(reads), READS_AT_ONCE):
            some = reads[at : at + READS_AT_ONCE]
            items = [_read_item(Address.of(key), seq) for key, seq in some]
            reply = await self._connection.call(wire.READ_CONVERSATIONS, wire.ReadConversationsRequest(items=items))
            for (key, _), state in zip(some, reply.states, strict=True):
                count = ServerUnreadCount(state.unread, state.mentioned, state.unread_seq, state.read_seq)
                await self._set_read(key, state.read_seq, count)

    async def set_flags(self, key: ConversationKey, *, pinned: bool | None = None, muted: bool | None = None) -> None:
        """Pin or mute a conversation on all devices; None leaves a flag unchanged.

        Raises:
            NetworkError: The server cannot be reached.
            NotLoggedIn: The client is logged out.
            NotAMember: The account is not a member of the group.
        """
        body = _settings_body(key)
        body.pinned = UNSET if pinned is None else int(pinned)
        body.muted = UNSET if muted is None else int(muted)
        self._store.check_open()
        reply = await self._connection.call(wire.SET_CONVERSATION_SETTINGS, body)
        flags, _ = await self._store.conversations.set_flags(
            key, ConversationFlags(reply.pinned, bool(reply.muted), reply.draft)
        )
        self._conversations.apply_flags(key, flags)

    async def set_draft(self, key: ConversationKey, draft: str) -> None:
        """Store a draft, and send it now or, if the server cannot be reached, after the next login.

        Raises:
            StorageError: The draft cannot be stored.
            ServerRefused: The server refuses the draft, which stays on this device.
        """
        await self._store.conversations.set_draft(key, draft, unsent=True)
        self._conversations.get(key).draft = draft
        try:
            await self._send_draft(key, draft)
        except (NetworkError, NotLoggedIn):
            pass  # `send_drafts` sends it after the next login

    async def send_drafts(self) -> None:
        """Send the drafts that were written without a connection; those that cannot be sent wait for the next login."""
        for key, draft in await self._store.conversations.unsent_drafts():
            try:
                await self._send_draft(key, draft)
            except (ServerRefused, InvalidArgument) as exc:
                log.warning("the server refused the draft of %s, which stays on this device: %s", key, exc)
            except (NetworkError, NotLoggedIn) as exc:
                log.debug("sending the draft of %s failed; the next login sends it again: %s", key, exc)
                return

    async def _send_draft(self, key: ConversationKey, draft: str) -> None:
        body = _settings_body(key)
        body.draft = draft
        await self._connection.call(wire.SET_CONVERSATION_SETTINGS, body)
        await self._store.conversations.mark_draft_sent(key, draft)

    async def apply_read_notice(self, notice: session.ReadNotice) -> None:
        """Apply a read position that another device of this account set."""
        count = ServerUnreadCount(notice.unread, notice.mentioned, notice.unread_seq, notice.read_seq)
        await self._set_read(Address(notice.peer, notice.group_id, notice.system).key, notice.read_seq, count)

    async def apply_receipt(self, notice: ReceiptNotice) -> None:
        """Apply a receipt: others have read messages of this account."""
        if notice.group_id:
            key = ConversationKey(ConversationType.GROUP, notice.group_id)
            if await self._store.messages.set_receipt(key, notice.seq, notice.readers, notice.others):
                self._deliver(ReadReceipt(key, notice.seq, "", notice.readers, notice.others))
        else:
            key = ConversationKey(ConversationType.C2C, notice.peer)
            if await self._store.conversations.set_peer_read(key, notice.read_seq):
                self._deliver(ReadReceipt(key, notice.read_seq, notice.peer))

    async def apply_settings_notice(self, notice: session.ConversationSettingsNotice) -> None:
        """Apply flags and a draft that another device of this account set."""
        key = Address(notice.peer, notice.group_id, notice.system).key
        flags = ConversationFlags(notice.pinned, bool(notice.muted), notice.draft)
        flags, changed = await self._store.conversations.set_flags(key, flags)
        if changed:
            self._deliver(ConversationChanged(key, bool(flags.pinned), flags.muted, flags.draft))

    def _deliver(self, event: ReadReceipt | ConversationChanged) -> None:
        self._conversations.apply_event(event)
        self._dispatcher.deliver_event(event)

    async def _set_read(self, key: ConversationKey, seq: int, count: ServerUnreadCount) -> None:
        unread = await self._store.conversations.set_read(key, seq, count if count.seq else None)
        self._conversations.apply_read(key, seq, unread.counts)
        if not unread.exact:
            await self.count_unread([key])

    async def count_unread(self, keys: Iterable[ConversationKey]) -> None:
        """Ask the server for unread counts that this device cannot know: rows are missing behind messages that it deleted.

        Raises:
            NetworkError: The server cannot be reached.
            NotLoggedIn: The client is logged out.
            StorageError: The local store failed.
        """
        for key in keys:
            state = await self._store.conversations.unread(key)
            if state.exact:
                continue
            address = Address.of(key)
            query = wire.UnreadQuery(peer=address.peer, group_id=address.group_id, system=address.system, after=state.after)
            try:
                reply = await self._connection.call(wire.COUNT_UNREAD, wire.CountUnreadRequest(items=[query]))
            except (RequestTimeout, ServerRefused) as exc:
                log.warning("the server did not count the unread messages of %s: %s", key, exc)
                continue
            (told,) = reply.states
            count = ServerUnreadCount(told.unread, told.mentioned, told.unread_seq, state.after)
            self._conversations.get(key).set_unread(await self._store.conversations.set_unread(key, count))


def _read_item(address: Address, seq: int) -> wire.ReadPosition:
    return wire.ReadPosition(peer=address.peer, group_id=address.group_id, system=address.system, read_seq=seq)


def _settings_body(key: ConversationKey) -> wire.SetConversationSettingsRequest:
    address = Address.of(key)
    return wire.SetConversationSettingsRequest(peer=address.peer, group_id=address.group_id, system=address.system)

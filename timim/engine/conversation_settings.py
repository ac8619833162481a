"""Conversation settings that all devices share: read positions, receipts, pins, mutes, drafts.

Invariant: a change is reported to handlers once, when the local store reports it as new. `PendingChanges` decides when the
changes of this device are sent.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from ..errors import TimimError
from ..events import ConversationChanged, ReadReceipt, SettingRefused
from ..ids import ConversationKey, ConversationSetting, ConversationType
from ..protocol import conversation_settings as wire
from ..protocol import session
from ..protocol.conversation_list import ReceiptNotice
from ..protocol.messages import Address
from ..storage import ConversationFlags, LocalStore, PendingChange, ServerUnreadCount
from ..transport.connection import Connection
from .conversations import ConversationIndex
from .dispatcher import Dispatcher
from .synced_deletions import SyncedDeletions
from .unread_counter import UnreadCounter

log = logging.getLogger(__name__)


class ConversationSettings:
    """Sends changes of this device, and applies those of other devices and users."""

    def __init__(
        self, store: LocalStore, connection: Connection, conversations: ConversationIndex, dispatcher: Dispatcher
    ) -> None:
        self._store = store
        self._connection = connection
        self._conversations = conversations
        self._dispatcher = dispatcher
        self._counter = UnreadCounter(store, connection, conversations)
        self.deletions: SyncedDeletions = SyncedDeletions(store, connection, conversations, dispatcher, self._counter)

    async def send_flag(self, change: PendingChange, *, age_ms: int) -> None:
        """Send a pending change of a flag or of the draft, and store the server's flags.

        If another device has changed the setting later, the server keeps that change, and ConversationChanged is delivered.

        Raises:
            ServerRefused, InvalidArgument: The server refuses the change.
            NetworkError: The server cannot be reached, or did not answer.
            NotLoggedIn: The client is logged out.
            StorageError: The local store failed.
        """
        body = _settings_body(change)
        body.age_ms = age_ms
        reply = await self._connection.call(wire.SET_CONVERSATION_SETTINGS, body)
        flags = ConversationFlags(reply.pinned, bool(reply.muted), reply.draft, reply.version)
        before, now = await self._store.changes.accept_flag(change, flags)
        if (bool(before.pinned), before.muted, before.draft) == (bool(now.pinned), now.muted, now.draft):
            self._conversations.apply_flags(change.key, now)
        else:
            self._deliver(ConversationChanged(change.key, bool(now.pinned), now.muted, now.draft))

    async def send_reads(self, changes: Sequence[PendingChange]) -> None:
        """Send up to 500 pending read seqs in one request, and store the server's. Raises as `send_flag`."""
        items = [_read_item(change) for change in changes]
        reply = await self._connection.call(wire.READ_CONVERSATIONS, wire.ReadConversationsRequest(items=items))
        counts = [ServerUnreadCount(one.unread, one.mentioned, one.unread_seq, one.read_seq) for one in reply.states]
        accepted = list(zip(changes, counts, strict=True))
        inexact: list[ConversationKey] = []
        for (change, count), unread in zip(accepted, await self._store.changes.accept_reads(accepted), strict=True):
            self._conversations.apply_read(change.key, count.after, unread.counts)
            if not unread.exact:
                inexact.append(change.key)
        await self.count_unread(inexact)

    async def take_back(self, change: PendingChange) -> None:
        """Show the server's value again, because the server refused a change. Raises StorageError."""
        if change.setting is ConversationSetting.READ:
            read_seq, unread = await self._store.changes.refuse_read(change)
            self._conversations.apply_unread(change.key, read_seq, unread.counts)
        else:
            self._conversations.apply_flags(change.key, await self._store.changes.refuse_flag(change))

    def on_refused(self, change: PendingChange, error: TimimError) -> None:
        """Deliver the refusal of a change that no call waits for."""
        self._dispatcher.deliver_event(SettingRefused(change.key, change.setting, error))

    async def apply_read_notice(self, notice: session.ReadNotice) -> None:
        """Apply a read position that another device of this account, or an administrator, set."""
        count = ServerUnreadCount(notice.unread, notice.mentioned, notice.unread_seq, notice.read_seq)
        key = Address(notice.peer, notice.group_id, notice.system).key
        if not notice.reset:
            await self._set_read(key, notice.read_seq, count)
            return
        unread = await self._store.conversations.reset_read(key, count)
        if unread is not None:
            self._conversations.apply_read(key, notice.read_seq, unread.counts)
            self._conversations.apply_unread(key, notice.read_seq, unread.counts)
            if not unread.exact:
                await self.count_unread([key])

    async def apply_receipt(self, notice: ReceiptNotice) -> None:
        """Apply a receipt: others have read messages of this account."""
        if notice.group_id or notice.seq:
            key = Address(notice.peer, notice.group_id).key
            if await self._store.conversations.set_receipt(key, notice.seq, notice.readers, notice.others):
                self._deliver(ReadReceipt(key, notice.seq, "", notice.readers, notice.others))
        else:
            key = ConversationKey(ConversationType.C2C, notice.peer)
            if await self._store.conversations.set_peer_read(key, notice.read_seq):
                self._deliver(ReadReceipt(key, notice.read_seq, notice.peer))

    async def apply_settings_notice(self, notice: session.ConversationSettingsNotice) -> None:
        """Apply flags and a draft that another device of this account set."""
        key = Address(notice.peer, notice.group_id, notice.system).key
        flags = ConversationFlags(notice.pinned, bool(notice.muted), notice.draft, notice.version)
        before, now = await self._store.conversations.set_flags(key, flags)
        if now != before:
            self._deliver(ConversationChanged(key, bool(now.pinned), now.muted, now.draft))

    def _deliver(self, event: ReadReceipt | ConversationChanged) -> None:
        self._conversations.apply_event(event)
        self._dispatcher.deliver_event(event)

    async def _set_read(self, key: ConversationKey, seq: int, count: ServerUnreadCount) -> None:
        unread = await self._store.conversations.set_read(key, seq, count if count.seq else None)
        self._conversations.apply_read(key, seq, unread.counts)
        if not unread.exact:
            await self.count_unread([key])

    async def count_unread(self, keys: Iterable[ConversationKey]) -> None:
        """Ask the server for unread counts that this device cannot know. Raises as `UnreadCounter.count`."""
        await self._counter.count(keys)


def _read_item(change: PendingChange) -> wire.ReadPosition:
    address = Address.of(change.key)
    return wire.ReadPosition(peer=address.peer, group_id=address.group_id, system=address.system, read_seq=int(change.value))


def _settings_body(change: PendingChange) -> wire.SetConversationSettingsRequest:
    address, value = Address.of(change.key), change.value
    body = wire.SetConversationSettingsRequest(peer=address.peer, group_id=address.group_id, system=address.system)
    match change.setting:
        case ConversationSetting.PINNED:
            body.pinned = int(bool(value))
        case ConversationSetting.MUTED:
            body.muted = int(value)
        case ConversationSetting.DRAFT:
            body.draft = str(value)
        case _:
            raise AssertionError(f"{change.setting} is no flag")
    return body

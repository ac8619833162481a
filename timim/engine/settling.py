"""Acks of sent messages: the sender gets the result, then the ack is stored with the next commit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from ..errors import TimimError
from ..ids import ConversationKey
from ..message import MessageStatus
from ..storage import Ack, AckResult, LocalStore, batch_callback
from .attachments import Attachments
from .conversations import ConversationIndex
from .inbox import Inbox
from .send_queue import ConversationQueue, PendingMessage

__all__ = ["Settling"]

log = logging.getLogger(__name__)


class Settling:
    """The acks of this device's messages, and those that are not stored yet."""

    def __init__(self, store: LocalStore, attachments: Attachments, conversations: ConversationIndex, inbox: Inbox) -> None:
        self._store = store
        self._attachments = attachments
        self._conversations = conversations
        self._inbox = inbox
        self._releases: set[asyncio.Task[None]] = set()
        self._unsettled = 0  # acks that are not stored yet
        self._all_settled = asyncio.Event()
        self._all_settled.set()

    def accept(self, queue: ConversationQueue, item: PendingMessage, ack: Ack) -> None:
        """Return the result to the sender, then store the ack: a crash in between only causes one more resend."""
        message = item.message
        message._seq, message._timestamp = ack.seq, ack.timestamp
        message._sender_profile, message._sender_member = ack.profile, ack.member
        if message._status is MessageStatus.SENDING:
            message._status = MessageStatus.SUCCEEDED
        self._conversations.on_acked(message)
        self._inbox.on_ack(ack.key, ack.seq)
        if not self._unsettled:
            self._all_settled.clear()
        self._unsettled += 1
        self._store.messages.settle(ack, self._on_settled)
        queue.finish(item, None)

    @property
    def is_busy(self) -> bool:
        """True while an ack is not stored, or the content of a sent message is being released."""
        return bool(self._unsettled or self._releases)

    async def finish(self) -> None:
        """Store the acks now, and wait until they are stored and the content of their messages is released."""
        while self.is_busy:
            self._store.flush()
            await self._all_settled.wait()
            if self._releases:
                await asyncio.wait(self._releases)  # cancelling this wait does not cancel the tasks

    async def sync(self) -> None:
        """Sync the messages without an ack to the disk, before their senders are told that they are kept."""
        try:
            await self._store.sync()
        except TimimError as exc:
            log.warning("syncing the messages that wait for the next login failed: %s", exc)

    @batch_callback
    def _on_settled(self, acks: Sequence[Ack], results: Sequence[AckResult | Exception]) -> None:
        """Apply acks that were stored, or could not be stored."""
        self._unsettled -= len(acks)
        if not self._unsettled:
            self._all_settled.set()
        is_logged = log.isEnabledFor(logging.DEBUG)
        of_key: dict[ConversationKey, tuple[list[int], AckResult]] = {}  # each with the last result
        for ack, result in zip(acks, results, strict=True):
            message = ack.message
            assert message is not None
            if isinstance(result, Exception):
                log.error("storing the ack of %s failed; the next login sends it again: %s", message.msg_id, result)
                continue
            if result.status is not None:
                self._conversations.live.settle(message, result.local_id, result.status)
            if result.changed is not None:
                self._conversations.live.written(result.changed)
            seqs, _ = of_key.get(ack.key) or ([], result)
            seqs.append(ack.seq)
            of_key[ack.key] = seqs, result
            if is_logged:
                log.debug("the server stored message %s of %s as seq %d", message.msg_id, ack.key, ack.seq)
            if self._attachments.is_persisted(message):
                task = asyncio.create_task(self._attachments.release(message), name="timim outbox release")
                self._releases.add(task)
                task.add_done_callback(self._releases.discard)
        for key, (seqs, last) in of_key.items():
            self._inbox.on_own_entries(key, seqs, delivered_seq=last.delivered_seq)
            self._conversations.on_settled(key, last)

"""Messages without an ack: those of earlier runs are sent after a login, or asked for, and failed ones are sent again."""

from __future__ import annotations

import asyncio
import logging

from ..elems import Progress
from ..errors import InvalidArgument, NetworkError, NotLoggedIn
from ..events import MessageFailed
from ..ids import ConversationKey
from ..message import Message, MessageStatus, OfflinePush
from ..storage import LocalStore
from ..transport.connection import Connection
from .attachments import Attachments
from .conversations import ConversationIndex
from .dispatcher import Dispatcher
from .history import History
from .outbox import RETRY_S, Outbox
from .send_queue import PendingMessage
from .send_requests import send_request

__all__ = ["UnsentMessages"]

log = logging.getLogger(__name__)


class UnsentMessages:
    """The messages that are SENDING in the local store when a client logs in, and those that failed."""

    def __init__(
        self,
        store: LocalStore,
        connection: Connection,
        attachments: Attachments,
        conversations: ConversationIndex,
        outbox: Outbox,
        dispatcher: Dispatcher,
    ) -> None:
        self._store = store
        self._connection = connection
        self._attachments = attachments
        self._conversations = conversations
        self._outbox = outbox
        self._dispatcher = dispatcher

    async def resume(self) -> None:
        """Send these messages, in order. Call this method after a login."""
        stored = await self._store.messages.outgoing()
        started = await self._store.messages.started_ids() if stored else set()
        for message in stored:
            if message.key is not None and self._outbox.queue_of(message.key).find(message.msg_id) is None:
                begun = message.msg_id in started
                self._outbox.queue_stored(message.key, message, noted=begun, begun=begun)
        self._outbox.start()

    async def resolve(self, history: History) -> None:
        """Find out the state of these messages, without sending them.

        Messages that the server has are fetched; the others become FAILED.

        Raises:
            NotLoggedIn, AuthError: The login ended; the next login continues.
        """
        for message in await self._store.messages.outgoing():
            if message.key is None or self._outbox.queue_of(message.key).find(message.msg_id) is not None:
                continue
            while True:
                await self._connection.up()
                try:
                    if seq := await self.seq_at_server(message.key, message):
                        await history.fetch_one(message.key, seq)
                    else:
                        error = NotLoggedIn("not sent before the program ended")
                        await self._store.messages.mark_failed(message, error.code, error.info)
                        self._dispatcher.deliver_event(MessageFailed(message, error))
                    await self._attachments.release(message)
                    break
                except NetworkError as exc:
                    log.debug("requesting the state of message %s failed; trying again: %s", message.msg_id, exc)
                    await asyncio.sleep(RETRY_S)
        self._outbox.start()

    async def resend(self, message: Message, *, progress: Progress | None, push: OfflinePush | None) -> Message:
        """Queue a failed message again, under its msg_id, and wait for the ack.

        Cancelling stops the waiting, and the message is still sent.

        Raises:
            InvalidArgument: The message did not fail, or is not stored on this device.
        """
        self._store.check_open()
        requeuing = asyncio.create_task(self._requeue(message, progress, push), name="timim outbox resending")
        return await (await asyncio.shield(requeuing)).done

    async def _requeue(self, message: Message, progress: Progress | None, push: OfflinePush | None) -> PendingMessage:
        key = message.key
        if key is None or message.status is not MessageStatus.FAILED:
            raise InvalidArgument("only a message that failed can be sent again")
        if not await self._store.messages.mark_sending_again(message):
            raise InvalidArgument(
                "the message is not stored as failed on this device: it was deleted, sent again or never stored"
            )
        self._store.check_open()  # it is sent after the next login if the client was closed meanwhile
        message._status = MessageStatus.SENDING
        item = self._outbox.queue_stored(key, message, progress, push, noted=True, begun=False)
        item.listed_at = self._conversations.newest_time
        self._conversations.on_outgoing_stored([item])
        return item

    async def seq_at_server(self, key: ConversationKey, message: Message) -> int:
        """Return the seq of a message on the server, or 0 if the server does not have the message."""
        request = send_request(key, message, b"", None, sender=self._connection.user_id, ask=True)
        return (await self._connection.link().send(request, timeout_s=self._connection.timeout_s)).timeline_seq

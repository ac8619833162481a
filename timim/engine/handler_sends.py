"""Messages that handlers send. A handler that runs again for a message gets the messages that it sent in the earlier run.

Each message that a handler sends has a msg_id made from the handled message and from its number in the run. In a repeated run,
a message that is stored, or waits in the outbox, is returned instead of being sent; one that failed is sent with its new
content. If only the server has the message, as after the loss of the local store, it is fetched.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable

from ..elems import Progress
from ..errors import InvalidArgument, MsgIdConflict, TimimError
from ..ids import ConversationKey
from ..message import Message, MessageStatus, OfflinePush
from ..storage import LocalStore
from .deletions import Deletions
from .delivery import current_delivery
from .history import History
from .outbox import Outbox
from .scheduler import Scheduler
from .send_requests import check_unsent
from .unsent_messages import UnsentMessages

__all__ = ["HandlerSends"]

log = logging.getLogger(__name__)


class HandlerSends:
    """The way of a new message into the outbox, which finds out whether a handler sends it, and whether it did before."""

    def __init__(
        self,
        store: LocalStore,
        outbox: Outbox,
        unsent: UnsentMessages,
        history: History,
        deletions: Deletions,
        scheduler: Scheduler,
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._unsent = unsent
        self._history = history
        self._deletions = deletions
        self._scheduler = scheduler

    def send(
        self, key: ConversationKey, message: Message, *, progress: Progress | None, push: OfflinePush | None
    ) -> Awaitable[Message]:
        """Send a message; see `Outbox.send`. Returns the message of the earlier run if a repeated handler has sent it."""
        delivery = current_delivery()
        if delivery is None:
            return self._outbox.send(key, message, progress=progress, push=push)
        check_unsent(message)
        message._msg_id = delivery.next_msg_id(key)
        return self._send_once(key, message, progress, push, repeated=delivery.message.redelivered)

    async def schedule(self, key: ConversationKey, message: Message, due: float, push: OfflinePush | None) -> Message:
        """Send a message at a later time; see `Scheduler.schedule`. A repeated handler schedules nothing twice."""
        if (delivery := current_delivery()) is not None:
            check_unsent(message)
            message._msg_id = delivery.next_msg_id(key)
            if delivery.message.redelivered:
                if (waiting := self._scheduler.waiting(message.msg_id)) is not None:
                    return _replayed(waiting)
                if found := await self._store.messages.with_id(message.msg_id, key):
                    return _replayed(found[0])
        return await self._scheduler.schedule(key, message, due, push)

    async def cancel(self, message: Message) -> bool:
        """Remove a message that is not due yet; see `Scheduler.cancel`."""
        return await self._scheduler.cancel(message)

    async def resend(self, message: Message, *, progress: Progress | None, push: OfflinePush | None) -> Message:
        """Send a failed message again; see `UnsentMessages.resend`."""
        return await self._unsent.resend(message, progress=progress, push=push)

    async def _send_once(
        self, key: ConversationKey, message: Message, progress: Progress | None, push: OfflinePush | None, *, repeated: bool
    ) -> Message:
        self._store.check_open()
        if repeated and (earlier := await self._earlier(key, message)) is not None:
            return _replayed(earlier)
        try:
            return await self._outbox.send(key, message, progress=progress, push=push, derived=True)
        except MsgIdConflict:  # the server has another content: of another device, or of a run whose store is lost
            return _replayed(await self._fetched(key, message))

    async def _earlier(self, key: ConversationKey, message: Message) -> Message | None:
        """Return the message with this msg_id that an earlier run sent, and remove one that failed."""
        while found := await self._store.messages.with_id(message.msg_id, key):
            earlier = found[0]
            if earlier.status is MessageStatus.SENDING:
                try:
                    await self._outbox.wait_until_sent(earlier)
                except TimimError as exc:
                    log.debug("message %s of an earlier run failed: %s", earlier.msg_id, exc)
                    if earlier.status is MessageStatus.SENDING:
                        raise  # the login ended
            elif earlier.status is MessageStatus.FAILED:
                await self._deletions.delete_message(earlier, keep_row=False)
            else:
                return earlier
        return None

    async def _fetched(self, key: ConversationKey, message: Message) -> Message:
        """Replace a message that conflicts with a stored one by the stored one, fetched from the server."""
        await self._deletions.delete_message(message, keep_row=False)
        seq = await self._unsent.seq_at_server(key, message)
        await self._history.fetch_one(key, seq)
        stored = await self._store.messages.get(key, seq)
        if stored is None:
            raise InvalidArgument(f"message {message.msg_id}, which an earlier run sent, cannot be read: it may be deleted")
        return stored


def _replayed(message: Message) -> Message:
    message._replayed = True
    return message

"""Messages that are sent at a later time: `conversation.send(…, at=…)`.

A message waits in the local store, and goes into the outbox under its msg_id when it is due and the client is logged in. It
leaves the store after the outbox has stored it. A crash in between finds it in both, and the outbox sends it once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import datetime

from ..errors import InvalidArgument, StorageError
from ..ids import ConversationKey
from ..message import Message, MessageStatus, OfflinePush
from ..protocol.elems import encode_body
from ..storage import LocalStore, ScheduledMessage
from ..transport.connection import Connection
from .attachments import Attachments
from .binding import ClientBinder
from .outbox import Outbox
from .send_requests import check_size, check_unsent, claim

__all__ = ["Scheduler", "due_time"]

log = logging.getLogger(__name__)
LONGEST_WAIT_S = 60.0  # the server's clock may be corrected meanwhile
RETRY_S = 1.0  # after an error of the local store


def due_time(at: datetime) -> float:
    """Return a time with a time zone in Unix seconds. Raises InvalidArgument without a time zone."""
    if at.tzinfo is None or at.utcoffset() is None:
        raise InvalidArgument(f"at: must have a time zone, as datetime.now(UTC) has, not {at.isoformat()}")
    return at.timestamp()


class Scheduler:
    """The messages of this device that are due later. Its task runs as long as the login."""

    def __init__(
        self, store: LocalStore, connection: Connection, attachments: Attachments, outbox: Outbox, binder: ClientBinder
    ) -> None:
        self._store = store
        self._connection = connection
        self._attachments = attachments
        self._outbox = outbox
        self._binder = binder
        self._waiting: dict[str, ScheduledMessage] = {}  # by msg_id
        self._wake = asyncio.Event()

    async def load(self) -> list[Message]:
        """Read the messages of earlier runs, without those that are in the outbox; return them."""
        self._waiting.clear()
        for one in await self._store.scheduled.all():
            if one.sent:
                await self._store.scheduled.remove(one.message.msg_id)
            else:
                self._claim(one)
        return [one.message for one in self._waiting.values()]

    def _claim(self, one: ScheduledMessage) -> None:
        message = one.message
        assert message.key is not None
        claim(message, message.key, sender=self._connection.user_id, now_s=one.due)
        self._binder.bind(message)
        self._waiting[message.msg_id] = one

    def messages(self) -> list[Message]:
        """Return the messages that wait, the next one first."""
        return [one.message for one in sorted(self._waiting.values(), key=lambda one: one.due)]

    def waiting(self, msg_id: str) -> Message | None:
        """Return the message with this msg_id if it is not due yet."""
        found = self._waiting.get(msg_id)
        return found.message if found is not None else None

    async def schedule(self, key: ConversationKey, message: Message, due: float, push: OfflinePush | None) -> Message:
        """Store a message that is due later.

        Cancelling while the message is being stored leaves it stored or not.
        """
        self._store.check_open()
        check_unsent(message)
        check_size(self._connection.server_info, message, encode_body([e for e in message.elems if not e.needs_upload]), push)
        message._scheduled_at = due
        one = ScheduledMessage(message, due, push, False)
        message._key = key
        self._claim(one)
        try:
            await self._attachments.persist(message)
            await self._store.scheduled.add(message, encode_body(message.elems, local=True), due, push)
        except BaseException:
            self._waiting.pop(message.msg_id, None)
            message._status = MessageStatus.FAILED
            await asyncio.shield(self._attachments.release(message))
            raise
        self._wake.set()
        return message

    async def cancel(self, message: Message) -> bool:
        """Remove a message that is not due yet; return False if it does not wait."""
        if self._waiting.pop(message.msg_id, None) is None:
            return False
        await self._store.scheduled.remove(message.msg_id)
        await self._attachments.release(message)
        message._status = MessageStatus.DELETED
        return True

    async def run(self) -> None:
        """Send the messages that are due, until cancelled."""
        while True:
            self._wake.clear()
            now = self._connection.server_time()
            wait_s = LONGEST_WAIT_S
            for one in sorted(self._waiting.values(), key=lambda one: one.due):
                if one.due > now:
                    wait_s = min(one.due - now, wait_s)
                    break
                if not await self._send(one):
                    wait_s = RETRY_S
                    break
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()

    async def _send(self, one: ScheduledMessage) -> bool:
        """Move a message into the outbox; return False if the local store failed."""
        message = one.message
        if self._waiting.pop(message.msg_id, None) is None:
            return True  # it was cancelled meanwhile
        try:
            await self._outbox.queue(message, one.push)
            await self._store.scheduled.remove(message.msg_id)
        except StorageError as exc:
            log.warning("storing the scheduled message %s failed; trying again in %g s: %s", message.msg_id, RETRY_S, exc)
            if not message.local_id:
                self._waiting[message.msg_id] = one
            return False
        return True

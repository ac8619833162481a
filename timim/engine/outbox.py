"""Outgoing messages. A message is stored as SENDING before its first byte is sent.

One queue for each conversation preserves the order, also after a lost connection: each message without an ack is sent again
with its msg_id, and the server returns the seq of a message that it already has.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from itertools import islice
from typing import Any

from ..elems import Progress
from ..errors import InvalidArgument, InvalidElem, MsgIdConflict, NetworkError, NotLoggedIn, TimimError
from ..events import MessageFailed
from ..ids import ConversationKey
from ..message import Message, MessageStatus, OfflinePush
from ..protocol import messages as wire
from ..protocol.codec import Request, decode_reply
from ..protocol.elems import encode_body
from ..protocol.frames import Frame
from ..protocol.pacing import is_rate_limit
from ..storage import LocalStore, Outgoing, batch_callback
from ..transport.connection import Connection
from ..transport.websocket import Link
from .attachments import Attachments, has_content
from .binding import ClientBinder
from .conversations import ConversationIndex
from .dispatcher import Dispatcher
from .inbox import Inbox
from .send_pace import SendPace
from .send_queue import ConversationQueue, PendingMessage, logged_out
from .send_requests import ack_from_reply, check_size, check_unsent, claim, send_request
from .send_window import SendWindow
from .settling import Settling

log = logging.getLogger(__name__)

IN_FLIGHT = 64  # requests of one conversation; later messages wait in order
CUTS_LIMIT = 5  # consecutive interrupted uploads with the websocket up: the media API cannot be reached
RETRY_S = 0.2  # between attempts, until the loss of the connection is detected


class Outbox:
    """Stores and sends the messages of this device, and stores their acks."""

    def __init__(
        self,
        store: LocalStore,
        connection: Connection,
        attachments: Attachments,
        conversations: ConversationIndex,
        inbox: Inbox,
        binder: ClientBinder,
        dispatcher: Dispatcher,
    ) -> None:
        self._user_id = connection.user_id
        self._timeout_s = connection.timeout_s
        self._store = store
        self._connection = connection
        self._attachments = attachments
        self._conversations = conversations
        self._binder = binder
        self._dispatcher = dispatcher
        self._queues: dict[ConversationKey, ConversationQueue] = {}
        self._tasks: set[asyncio.Task[None]] = set()  # work after a reply that waits for the disk
        self._resumed = asyncio.Event()
        self._leaving = False  # a logout waits for the handlers
        self._window = SendWindow(SendPace(dispatcher))
        self._settling = Settling(store, attachments, conversations, inbox)

    @property
    def sending(self) -> int:
        """The number of messages that wait for their ack."""
        return sum(len(queue.pending) for queue in self._queues.values())

    def send(
        self,
        key: ConversationKey,
        message: Message,
        *,
        progress: Progress | None,
        push: OfflinePush | None,
        derived: bool = False,
    ) -> Awaitable[Message]:
        """Queue a message, which is stored and then sent; return an awaitable of its ack, to be awaited at once.

        Cancelling stops the waiting, and the message is still sent. Only if content given as bytes is still being written
        to disk, cancelling withdraws the message. If `derived`, a MsgIdConflict is raised, but not reported as MessageFailed.
        """
        self._store.check_open()
        check_unsent(message)
        elems = message.elems
        uploads = has_content(elems)
        body = encode_body([elem for elem in elems if not elem.needs_upload] if uploads else elems)
        check_size(self._connection.server_info, message, body, push)  # and again after uploads
        claim(message, key, sender=self._user_id, now_s=self._connection.server_time())
        self._binder.bind(message)
        item = self._enqueue(key, message, progress, push)  # before any await, so that the order of the calls is kept
        item.derived = derived
        if uploads:
            return self._send_content(key, item)
        item.body = body  # the stored body is also the body to send
        self._store_row(item, body)
        return item.done

    async def _send_content(self, key: ConversationKey, item: PendingMessage) -> Message:
        """Write the content of a message to disk, then its row, and wait for the ack."""
        try:
            await self._attachments.persist(item.message)
            body = encode_body(item.message.elems, local=True)
        except BaseException:
            await asyncio.shield(self._discard(key, item))
            raise
        self._store_row(item, body)
        return await item.done

    def _store_row(self, item: PendingMessage, body: bytes, on_stored: Callable[[int | Exception], None] | None = None) -> None:
        item.row_body, item.noted, item.listed_at = body, self._connection.online, self._conversations.newest_time
        self._store.messages.add_outgoing(item, on_stored or self._on_stored)

    async def queue(self, message: Message, push: OfflinePush | None) -> None:
        """Store and queue a message that was scheduled, with its content on disk; return when it is stored.

        Raises:
            StorageError: The message is not stored, and not queued.
        """
        key = message.key
        assert key is not None
        message._timestamp = int(self._connection.server_time())
        item = self._enqueue(key, message, None, push)
        item.ignore_errors()
        body = encode_body(message.elems, local=True)
        item.body = b"" if has_content(message.elems) else body
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def on_stored(local_id: int | Exception) -> None:
            if isinstance(local_id, Exception):
                self._queues.get(key, ConversationQueue()).finish(item, local_id)
                stored.set_exception(local_id)
            else:
                self._continue([item], [local_id])
                stored.set_result(None)

        self._store_row(item, body, on_stored)
        await asyncio.shield(stored)

    @batch_callback
    def _on_stored(self, items: Sequence[Outgoing], local_ids: Sequence[int | Exception]) -> None:
        self._continue(items, local_ids)

    def _continue(self, items: Sequence[Outgoing], local_ids: Sequence[int | Exception]) -> None:
        """Continue sends after their rows were written, or could not be written."""
        stored: list[PendingMessage] = []
        keys: set[ConversationKey] = set()
        for item, local_id in zip(items, local_ids, strict=True):
            assert isinstance(item, PendingMessage)
            key = item.message.key
            assert key is not None
            if isinstance(local_id, Exception):
                self._spawn(self._discard(key, item, local_id))
                continue
            item.message._local_id = local_id
            item.stored = True
            if self._leaving and not item.done.done():
                item.done.set_exception(logged_out())
            stored.append(item)
            keys.add(key)
        self._conversations.on_outgoing_stored(stored)
        for key in keys:
            if key in self._queues:  # otherwise the client logged out, and the next login sends the message
                self._queues[key].wake.set()

    async def _discard(self, key: ConversationKey, item: PendingMessage, error: BaseException | None = None) -> None:
        """Undo the send of a message that has no row."""
        item.message._status = MessageStatus.FAILED
        if error is None:
            item.done.cancel()  # `send` is raising the error
        self._queues.get(key, ConversationQueue()).finish(item, error)
        await self._attachments.release(item.message)

    def queue_stored(
        self,
        key: ConversationKey,
        message: Message,
        progress: Progress | None = None,
        push: OfflinePush | None = None,
        *,
        noted: bool,
        begun: bool,
    ) -> PendingMessage:
        """Queue a message whose row is on disk. See PendingMessage for `noted` and `begun`."""
        item = self._enqueue(key, message, progress, push)
        item.stored, item.noted, item.begun = True, noted, begun
        item.ignore_errors()
        return item

    def start(self) -> None:
        """Send what is queued, now that the messages of earlier runs are queued or resolved."""
        for queue in self._queues.values():
            queue.wake.set()
        self._resumed.set()

    def queue_of(self, key: ConversationKey) -> ConversationQueue:
        """Return the queue of a conversation; an empty one if no message waits."""
        return self._queues.get(key) or ConversationQueue()

    async def wait_until_sent(self, message: Message) -> None:
        """Wait until a message that is SENDING has its ack. Raises the error of the message.

        Raises:
            NotLoggedIn: The client logged out; the message is sent after the next login.
        """
        await self._resumed.wait()  # the messages of earlier runs are queued or resolved
        if self._leaving:
            raise logged_out()
        item = self.queue_of(message.key).find(message.msg_id) if message.key is not None else None
        if item is not None:
            await asyncio.shield(item.done)

    async def flush(self) -> None:
        """Wait until no message waits for its ack, also of those that are sent meanwhile."""
        while tasks := [one.task for one in self._queues.values() if one.pending and one.task and not one.task.done()]:
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """Stop sending; messages without an ack stay on disk as SENDING and are sent after the next login."""
        tasks = [queue.task for queue in self._queues.values() if queue.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        while self._tasks or self._settling.is_busy:
            await self._settling.finish()
            if self._tasks:
                await asyncio.wait(self._tasks)  # cancelling this wait does not cancel the tasks
        await self._settling.sync()
        for queue in self._queues.values():
            queue.end_waits(logged_out())
        self._queues.clear()
        self._leaving = True
        self._resumed.set()  # ends the waits for messages of earlier runs

    def reopen(self) -> None:
        """Accept messages that wait for the next login; the handlers, for which `send` raises NotLoggedIn, have ended."""
        self._leaving = False
        self._resumed.clear()

    def _enqueue(
        self, key: ConversationKey, message: Message, progress: Progress | None, push: OfflinePush | None
    ) -> PendingMessage:
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = ConversationQueue()
        done: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        item = PendingMessage(message, b"", noted=False, listed_at=0, done=done, progress=progress, push=push)
        queue.pending.append(item)
        queue.wake.set()
        if queue.task is None or queue.task.done():
            queue.task = asyncio.create_task(self._run(key, queue), name=f"timim outbox {key}")
        return item

    async def _run(self, key: ConversationKey, queue: ConversationQueue) -> None:
        """Keep the first IN_FLIGHT messages of a queue in flight until the queue is empty."""
        while queue.pending:
            try:
                link = await self._connection.up()
            except NotLoggedIn:
                await queue.wait()  # logged out: close() ends this task
                continue
            except TimimError as exc:  # the login has ended by itself
                queue.stop_waiting(exc)
                await queue.wait()  # for the next login
                continue
            ahead = list(islice(queue.pending, IN_FLIGHT))
            last_out = max((i for i, item in enumerate(ahead) if item.link is link), default=-1)
            for i, item in enumerate(ahead):
                if item.link is link:
                    continue
                if item.held or not item.stored:
                    break  # the row is being deleted, or not on disk yet, and no later message may overtake this one
                if not self._window.has_room(queue, self._queues.values()):
                    self._window.starve(queue)
                    if self._window.searching:  # a suspect may leave its queue without a reply
                        asyncio.get_running_loop().call_later(RETRY_S, queue.wake.set)
                    break
                if i < last_out:
                    break  # timed out while later messages are in flight: wait for these to preserve the order
                try:
                    if not (item.body and item.noted) and not await self._prepare(key, queue, item):
                        break
                    if not self._start(key, item, link):
                        break
                except Exception as exc:  # noqa: BLE001  the message fails, or is sent again
                    if not await self._on_start_failed(key, queue, item, exc):
                        break
            await queue.wait()

    async def _prepare(self, key: ConversationKey, queue: ConversationQueue, item: PendingMessage) -> bool:
        """Upload a message's content, and note on disk that it may leave; return False if it has to wait or is withdrawn."""
        message = item.message
        try:
            if not item.body:
                given = message.elems
                item.uploading = asyncio.create_task(self._attachments.upload(message, item.on_progress))
                await item.uploading
                item.given = given if message.elems is not given and not item.reuploaded else ()
                item.body = encode_body(message.elems)
            if not item.noted:
                check_size(self._connection.server_info, message, item.body, item.push)
                await self._store.messages.note_started(key)
                item.noted = True
        except asyncio.CancelledError:
            if not item.held:
                raise
            return False  # the user deletes the message
        if self._window.is_paused:  # since a moment ago
            self._window.starve(queue)
            return False
        return True

    def _start(self, key: ConversationKey, item: PendingMessage, link: Link) -> bool:
        """Queue the request of a message; return False if it is withdrawn."""
        message = item.message
        check_size(self._connection.server_info, message, item.body, item.push)
        item.begun = item.begun or not item.held
        if not item.begun:
            return False
        asks = item.condemned is not None
        request = send_request(key, message, item.body, item.push, sender=self._user_id, ask=asks)
        self._window.pace.resume(link, timeout_s=self._timeout_s)
        link.start(request, partial(self._on_reply, key, item, link, request), timeout_s=self._timeout_s)
        item.link = link
        self._window.add(item)
        return True

    async def _on_start_failed(
        self, key: ConversationKey, queue: ConversationQueue, item: PendingMessage, exc: Exception
    ) -> bool:
        """Let a message fail that could not be started, or try again later; return False if later messages have to wait."""
        message = item.message
        if isinstance(exc, NetworkError):
            log.debug("sending message %s to %s was interrupted; trying again: %s", message.msg_id, key, exc)
            if not item.body:  # a lost websocket does not count: the message is sent over the next one
                item.on_upload_cut()
            if item.cuts >= CUTS_LIMIT and self._connection.online:
                await self._fail(queue, item, exc)
                return True
            asyncio.get_running_loop().call_later(RETRY_S, queue.wake.set)
            return False
        if isinstance(exc, TimimError):
            if queue.pending[0] is not item:
                return False  # it fails after the earlier messages have their seqs, which keeps its place in the history
            await self._fail(queue, item, exc)
            return True
        # a bug in timim, or an error of a progress callback: only this message fails
        log.error("sending message %s to %s failed", message.msg_id, key, exc_info=exc)
        failed = InvalidArgument(f"sending failed: {exc!r}")
        failed.__cause__ = exc
        await self._fail(queue, item, failed)
        return True

    def _on_reply(
        self,
        key: ConversationKey,
        item: PendingMessage,
        link: Link,
        request: Request[wire.SendReply],
        outcome: Frame | TimimError,
    ) -> None:
        self._window.remove(item)
        item.suspect = item.suspect and not isinstance(outcome, Frame)
        self._window.wake_starved()
        if item.link is not link:
            return
        queue = self._queues.get(key) or ConversationQueue()
        try:
            if isinstance(outcome, TimimError):
                raise outcome
            reply = decode_reply(request.reply, outcome.body)
        except NetworkError as exc:
            if isinstance(outcome, Frame):  # a reply that cannot be read
                self._spawn(self._fail(queue, item, exc))
                return
            item.link = None  # no reply: send again with the same msg_id
            self._window.blame(item, exc)
            queue.wake.set()
            return
        except TimimError as exc:
            if is_rate_limit(exc):
                item.link = None
                self._window.starve(queue)
                self._window.pace.begin(exc, self._window.wake_starved)
            elif isinstance(exc, InvalidElem) and item.given:
                item.upload_again()  # the server removed the content, because no message referred to it in time
                queue.wake.set()
            else:
                self._spawn(self._fail(queue, item, exc))
            return
        if item.condemned is not None and not reply.timeline_seq:
            self._spawn(self._fail(queue, item, item.condemned))
            return
        self._settling.accept(queue, item, ack_from_reply(key, item, reply))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="timim outbox settling")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _fail(self, queue: ConversationQueue, item: PendingMessage, exc: TimimError) -> None:
        try:
            await self._store.messages.mark_failed(item.message, exc.code, exc.info)
        except TimimError as second:
            exc.__context__ = second
        await self._attachments.release(item.message)
        queue.finish(item, exc)
        if not (item.derived and isinstance(exc, MsgIdConflict)):
            self._dispatcher.deliver_event(MessageFailed(item.message, exc))

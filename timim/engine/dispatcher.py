"""Delivery of new messages and events to the program's handlers, streams and waiters.

The messages of one conversation are delivered in order, one list at a time; conversations are delivered concurrently.
An exception of a handler is logged and reported as HandlerFailed, and does not stop the delivery. A slow handler delays
only its own conversation. When WAITING_LIMIT messages wait, the inbox stops storing messages and fetches them later by
their seqs.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

from ..errors import NotLoggedIn, RequestTimeout, StreamOverflow
from ..events import ClientEvent, HandlerFailed
from ..ids import ConversationKey
from ..message import Message
from .handler_calls import enter_handler, wait_for_handlers

log = logging.getLogger(__name__)
EventT = TypeVar("EventT", bound=ClientEvent)
KindT = TypeVar("KindT", bound=ClientEvent | Message)
KindT_co = TypeVar("KindT_co", bound=ClientEvent | Message, covariant=True)
HandlerResult = TypeVar("HandlerResult", bound=Awaitable[None] | None)
MessageHandler = Callable[[list[Message]], Awaitable[None] | None]
EventHandler = Callable[[EventT], Awaitable[None] | None]
LIST_LIMIT = 500  # messages in one call of a handler
WAITING_LIMIT = 10_000  # messages that wait for handlers; above the limit the inbox keeps only seqs
STREAM_LIMIT = 10_000
BLOCKING_LIMIT_S = 0.2  # a sync handler that takes longer is named in a warning


class EventDecorator(Protocol[EventT]):
    """A decorator that registers a handler of some events, and returns the handler."""

    def __call__(self, handler: Callable[[EventT], HandlerResult], /) -> Callable[[EventT], HandlerResult]: ...


class EventStream(Generic[KindT_co]):
    """An `async for` iterator of new messages and events of some classes, from the creation of the stream on.

    At most STREAM_LIMIT items wait for a slow reader. Above the limit the stream raises StreamOverflow; missed messages can
    be read with the queries of a conversation. Use `async with` to close the stream.
    """

    def __init__(self, kinds: tuple[type[KindT_co], ...], open_streams: set[EventStream[Any]]) -> None:
        self._kinds = kinds
        self._open_streams = open_streams
        self._waiting: deque[KindT_co] = deque()
        self._wake = asyncio.Event()
        self._overflow = False
        self._ended = False
        open_streams.add(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> KindT_co:
        """Wait for the next item.

        Raises:
            StreamOverflow: Too many items waited; query the conversations for missed messages.
            StopAsyncIteration: The stream was closed.
        """
        while not self._waiting:
            if self._overflow:
                raise StreamOverflow(
                    f"more than {STREAM_LIMIT} items waited in the stream; query the conversations for missed messages"
                )
            if self._ended:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        return self._waiting.popleft()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop receiving. Items that are already queued can still be read."""
        self._ended = True
        self._wake.set()
        self._open_streams.discard(self)

    def _offer(self, item: ClientEvent | Message) -> None:
        if self._overflow or not isinstance(item, self._kinds):
            return
        if len(self._waiting) >= STREAM_LIMIT:
            self._overflow = True
            self._open_streams.discard(self)
        else:
            self._waiting.append(item)
        self._wake.set()


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    """A future for the next matching message of one conversation, or of any if `key` is None."""

    key: ConversationKey | None
    predicate: Callable[[Message], bool]
    future: asyncio.Future[Message]


class Dispatcher:
    """The handlers, streams and waiters of a client, with one queue for each conversation and one for events.

    The task of a queue runs only while the queue has items.
    """

    def __init__(self) -> None:
        self._message_handlers: list[MessageHandler] = []
        self._event_handlers: dict[type[ClientEvent], list[Callable[[Any], Awaitable[None] | None]]] = {}
        self._waiters: list[_Waiter] = []
        self._streams: set[EventStream[Any]] = set()
        self._queues: dict[ConversationKey | None, deque[Message | ClientEvent]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.login_task: asyncio.Task[None] | None = None  # a task that lives as long as the login
        self._stopping = 0  # calls of `drain` that wait: a cancelled handler is not replaced
        self._waiting = 0
        self._room = asyncio.Event()

    @property
    def _serving(self) -> bool:
        """False while a logout waits for handlers, and when the event loop has cancelled all tasks because it is ending."""
        login = self.login_task
        return not self._stopping and login is not None and not login.done() and not login.cancelling()

    def on_new_message(self, handler: MessageHandler) -> None:
        """Add a handler of new messages; adding it again changes nothing, so that it gets each list once."""
        if handler not in self._message_handlers:
            self._message_handlers.append(handler)

    def on(self, event: type[EventT], handler: EventHandler[EventT]) -> None:
        """Add a handler of an event class; adding it again changes nothing."""
        handlers = self._event_handlers.setdefault(event, [])
        if handler not in handlers:
            handlers.append(handler)

    def off(self, handler: Callable[..., object]) -> bool:
        """Remove a handler from everything that it was added to, and return False if it was added to nothing."""
        lists: list[list[Any]] = [self._message_handlers, *self._event_handlers.values()]
        with_it = [handlers for handlers in lists if handler in handlers]
        for handlers in with_it:
            handlers.remove(handler)
        return bool(with_it)

    def deliver_messages(self, messages: Sequence[Message]) -> None:
        """Deliver messages of one conversation that the local store reported as new, in order."""
        if self._waiters or self._streams:
            for message in messages:
                for waiter in list(self._waiters):
                    _try(waiter, message)
                for stream in list(self._streams):
                    stream._offer(message)
        if self._message_handlers and messages:
            self._enqueue(messages[0].key, messages)

    def deliver_event(self, event: ClientEvent) -> None:
        """Deliver an event to the streams and to the handlers of its class, in the order of the events."""
        for stream in list(self._streams):
            stream._offer(event)
        if type(event) in self._event_handlers:
            self._enqueue(None, (event,))

    def wait_for(
        self, key: ConversationKey | None, predicate: Callable[[Message], bool], *, timeout: float | None = None
    ) -> asyncio.Future[Message]:
        """Return a future for the next message, delivered after this call, that satisfies `predicate`.

        The future raises RequestTimeout after `timeout` seconds, and NotLoggedIn at logout.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Message] = loop.create_future()
        waiter = _Waiter(key, predicate, future)
        self._waiters.append(waiter)
        future.add_done_callback(lambda _: self._waiters.remove(waiter) if waiter in self._waiters else None)
        if timeout is not None:
            timer = loop.call_later(
                timeout, _fail, future, RequestTimeout(f"no matching message was delivered within {timeout} s")
            )
            future.add_done_callback(lambda _: timer.cancel())
        return future

    def open_stream(self, *kinds: type[KindT]) -> EventStream[KindT]:
        """Open a stream of these classes, which receives from now on."""
        return EventStream(kinds, self._streams)

    async def wait_for_room(self) -> None:
        """Wait until fewer than WAITING_LIMIT messages wait for handlers."""
        while self._waiting >= WAITING_LIMIT:
            self._room.clear()
            await self._room.wait()

    async def drain(self) -> None:
        """Close the streams and waiters, and wait until all handlers have returned.

        A handler that logs out is not waited for. Cancelling this method cancels the handlers.
        """
        for stream in list(self._streams):
            stream.close()
        for waiter in list(self._waiters):
            _fail(waiter.future, NotLoggedIn("the client logged out while waiting for a message"))
        self._stopping += 1
        try:
            await wait_for_handlers(self._tasks)
        finally:
            self._stopping -= 1

    def _enqueue(self, key: ConversationKey | None, items: Sequence[Message | ClientEvent]) -> None:
        self._waiting += len(items)
        queue = self._queues.get(key)
        if queue is not None:
            queue.extend(items)
            return
        self._queues[key] = deque(items)
        self._start(key)

    def _start(self, key: ConversationKey | None) -> None:
        task = asyncio.create_task(self._run(key), name=f"timim handlers {key or 'events'}")
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, SystemExit | KeyboardInterrupt):  # those end the event loop themselves
            log.error("task %s failed", task.get_name(), exc_info=error)

    def _taken(self, count: int) -> None:
        self._waiting -= count
        self._room.set()

    async def _run(self, key: ConversationKey | None) -> None:
        queue = self._queues[key]
        me = asyncio.current_task()
        assert me is not None
        enter_handler(me)
        try:
            while queue:
                item = queue.popleft()
                if isinstance(item, Message):
                    batch = [item]
                    while queue and len(batch) < LIST_LIMIT and isinstance(more := queue[0], Message):
                        batch.append(more)
                        queue.popleft()
                    self._taken(len(batch))
                    for handler in list(self._message_handlers):
                        if handler in self._message_handlers:  # not removed by an earlier handler
                            await self._call(handler, list(batch))
                else:
                    self._taken(1)
                    handlers = self._event_handlers.get(type(item), [])
                    for event_handler in list(handlers):
                        if event_handler in handlers:
                            await self._call(event_handler, item)
        finally:
            if queue and self._serving:  # a handler cancelled its own task: another task delivers the next items
                self._start(key)
            else:
                self._taken(len(queue))  # items that were left when a logout was cancelled
                del self._queues[key]

    async def _call(self, handler: Callable[[Any], Awaitable[None] | None], argument: list[Message] | ClientEvent) -> None:
        me = asyncio.current_task()
        try:
            started = time.perf_counter()
            result = handler(argument)
            if inspect.isawaitable(result):
                await result
            elif (seconds := time.perf_counter() - started) > BLOCKING_LIMIT_S:
                log.warning(
                    "handler %s blocked the event loop for %.2f s; make it async, or call asyncio.to_thread in it",
                    _name(handler),
                    seconds,
                )
        except asyncio.CancelledError as exc:
            if me is not None and me.cancelling():
                if self._serving:
                    self._report(handler, argument, exc)  # the handler, or the program, cancelled this task
                raise
            self._report(handler, argument, exc)  # the handler awaited a task that was cancelled
        except (SystemExit, KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as exc:  # noqa: BLE001  an exception of the user's handler is reported
            self._report(handler, argument, exc)

    def _report(
        self,
        handler: Callable[[Any], Awaitable[None] | None],
        argument: list[Message] | ClientEvent,
        error: BaseException,
    ) -> None:
        log.error("handler %s raised an exception", _name(handler), exc_info=error)
        if not isinstance(argument, HandlerFailed):
            self.deliver_event(HandlerFailed(handler, argument, error))


def _name(handler: Callable[..., object]) -> object:
    return getattr(handler, "__qualname__", handler)


def _try(waiter: _Waiter, message: Message) -> None:
    """Resolve the waiter's future if the message satisfies its predicate."""
    if waiter.future.done() or (waiter.key is not None and waiter.key != message.key):
        return
    try:
        if waiter.predicate(message):
            waiter.future.set_result(message)
    except Exception as exc:  # noqa: BLE001  an exception of the user's predicate is raised by the future
        waiter.future.set_exception(exc)


def _fail(future: asyncio.Future[Message], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # mark as retrieved: the waiter may be gone

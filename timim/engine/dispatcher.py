"""Delivery of new messages and events to the program's handlers, streams and waiters.

Each conversation has a lane: its messages are delivered in order, as lists to the handlers of lists, and one at a time to the
handlers of single messages. Lanes run concurrently, within a limit. An exception of a handler is logged and reported as
HandlerFailed, and does not stop the delivery. A slow handler delays only its own conversation. When WAITING_LIMIT messages
wait or are being handled, the inbox stops storing messages and fetches them later by their seqs.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Generic, Protocol, Self, TypeVar

from ..errors import NotLoggedIn, RequestTimeout, StreamOverflow
from ..events import ClientEvent, HandlerFailed, is_for_single_handlers
from ..ids import ConversationKey
from ..message import Message
from ..util.displayed import Displayed
from ..util.interactive import cell_context
from .handler_calls import current_handler, enter_handler, wait_for_handlers
from .handler_slots import CONCURRENCY, HandlerSlots

log = logging.getLogger(__name__)
EventT = TypeVar("EventT", bound=ClientEvent)
KindT = TypeVar("KindT", bound=ClientEvent | Message)
KindT_co = TypeVar("KindT_co", bound=ClientEvent | Message, covariant=True)
HandlerResult = TypeVar("HandlerResult", bound=Awaitable[None] | None)
ListHandler = Callable[[list[Message]], Awaitable[object] | None]
MessageHandler = Callable[[Message], Awaitable[object] | None]
Argument = list[Message] | Message | ClientEvent  # of a handler
EventHandler = Callable[[EventT], Awaitable[None] | None]
LIST_LIMIT = 500  # messages in one call of a handler
WAITING_LIMIT = 10_000  # messages that wait for handlers or are being handled; above the limit the inbox keeps only seqs
STREAM_LIMIT = 10_000
BLOCKING_LIMIT_S = 0.2  # a sync handler that takes longer is named in a warning


class EventDecorator(Protocol[EventT]):
    """A decorator that registers a handler of some events, and returns the handler."""

    def __call__(self, handler: Callable[[EventT], HandlerResult], /) -> Callable[[EventT], HandlerResult]: ...


class EventStream(Displayed, Generic[KindT_co]):
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


@dataclass(slots=True, eq=False)
class _Lane:
    """The messages of one conversation, or the events, that wait for handlers.

    The first `listed` messages were given to the handlers of lists already, and wait for the handlers of single messages.
    """

    items: deque[Message | ClientEvent] = field(default_factory=deque)
    listed: int = 0


class Dispatcher:
    """The handlers, streams and waiters of a client, with one lane for each conversation and one for events.

    The task of a lane runs only while the lane has items.

    Args:
        concurrency: Limit of the conversations whose handlers run at the same time.
    """

    def __init__(self, concurrency: int = CONCURRENCY) -> None:
        self._list_handlers: list[ListHandler] = []
        self._message_handlers: list[MessageHandler] = []
        self._event_handlers: dict[type[ClientEvent], list[Callable[[Any], Awaitable[None] | None]]] = {}
        self._waiters: list[_Waiter] = []
        self._streams: set[EventStream[Any]] = set()
        self._lanes: dict[ConversationKey | None, _Lane] = {}
        self._slots = HandlerSlots(concurrency)
        self._tasks: set[asyncio.Task[None]] = set()
        self.login_task: asyncio.Task[None] | None = None  # a task that lives as long as the login
        self._stopping = 0  # calls of `drain` that wait: a cancelled handler is not replaced
        self._receiving = True  # False while the program ends: no more messages are stored
        self._waiting = 0
        self._room = asyncio.Event()

    @property
    def _serving(self) -> bool:
        """False while a logout waits for handlers, and when the event loop has cancelled all tasks because it is ending."""
        login = self.login_task
        return not self._stopping and login is not None and not login.done() and not login.cancelling()

    def on_new_message(self, handler: ListHandler) -> None:
        """Add a handler of lists of messages; adding it again changes nothing, so that it gets each list once."""
        if handler not in self._list_handlers:
            self._list_handlers.append(handler)

    def on_message(self, handler: MessageHandler) -> None:
        """Add a handler of single messages; adding it again changes nothing, so that it gets each message once."""
        if handler not in self._message_handlers:
            self._message_handlers.append(handler)

    def on(self, event: type[EventT], handler: EventHandler[EventT]) -> None:
        """Add a handler of an event class; adding it again changes nothing."""
        handlers = self._event_handlers.setdefault(event, [])
        if handler not in handlers:
            handlers.append(handler)

    def off(self, handler: Callable[..., object]) -> bool:
        """Remove a handler from everything that it was added to, and return False if it was added to nothing."""
        lists: list[list[Any]] = [self._list_handlers, self._message_handlers, *self._event_handlers.values()]
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
        if (self._list_handlers or self._message_handlers) and messages:
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
        """Wait until messages may be stored: fewer than WAITING_LIMIT wait for handlers, and the program is not ending."""
        while self._waiting >= WAITING_LIMIT or not self._receiving:
            self._room.clear()
            await self._room.wait()

    async def finish(self) -> None:
        """Let no more messages be stored, and wait until the handlers of all stored ones have returned.

        Streams and waiters go on. Cancelling this method cancels the handlers.
        """
        self._receiving = False
        await self._end_lanes()

    async def drain(self) -> None:
        """Close the streams and waiters, and wait until all handlers have returned.

        A handler that logs out is not waited for. Cancelling this method cancels the handlers.
        """
        for stream in list(self._streams):
            stream.close()
        for waiter in list(self._waiters):
            _fail(waiter.future, NotLoggedIn("the client logged out while waiting for a message"))
        await self._end_lanes()
        self._receiving = True  # for the next login

    async def _end_lanes(self) -> None:
        if (handler := current_handler()) is not None:
            self._slots.give_up(handler)  # the lanes that it waits for may need its slot
        self._stopping += 1
        try:
            await wait_for_handlers(self._tasks)
        finally:
            self._stopping -= 1

    def _enqueue(self, key: ConversationKey | None, items: Sequence[Message | ClientEvent]) -> None:
        self._waiting += len(items)
        lane = self._lanes.get(key)
        if lane is not None:
            lane.items.extend(items)
            return
        self._lanes[key] = _Lane(deque(items))
        self._start(key)

    def _start(self, key: ConversationKey | None) -> None:
        task = asyncio.create_task(self._run(key), name=f"timim handlers {key or 'events'}", context=cell_context())
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
        lane = self._lanes[key]
        me = asyncio.current_task()
        assert me is not None
        enter_handler(me)
        try:
            while lane.items:
                if key is None:
                    await self._handle_event(lane)
                else:
                    await self._handle_list(lane)
                    while lane.listed:
                        await self._handle_next(lane)
        finally:
            if lane.items and self._serving:  # a handler cancelled its own task: another task delivers the next items
                self._start(key)
            else:
                self._taken(len(lane.items))  # items that were left when a logout was cancelled
                del self._lanes[key]

    async def _handle_event(self, lane: _Lane) -> None:
        event = lane.items.popleft()
        handlers = self._event_handlers.get(type(event), [])  # type: ignore[arg-type]  # this lane has no messages
        try:
            for handler in list(handlers):
                if handler in handlers:  # not removed by an earlier handler
                    await self._call(handler, event)
        finally:
            self._taken(1)

    async def _handle_list(self, lane: _Lane) -> None:
        """Call the handlers of lists with the next messages of a lane, unless they had these before."""
        if lane.listed:
            return
        batch: list[Any] = list(islice(lane.items, LIST_LIMIT))
        lane.listed = len(batch)
        if not self._list_handlers:
            return
        async with self._slots:
            for handler in list(self._list_handlers):
                if handler in self._list_handlers:
                    await self._call(handler, list(batch))

    async def _handle_next(self, lane: _Lane) -> None:
        """Handle the next message of a lane. It counts as waiting until its handlers have returned."""
        message: Any = lane.items.popleft()
        lane.listed -= 1
        try:
            if self._message_handlers and is_for_single_handlers(message):
                async with self._slots:
                    await self.handle(message)
        finally:
            self._taken(1)

    async def handle(self, message: Message) -> None:
        """Call the handlers of single messages one after the other, and return when the last one has returned."""
        for handler in list(self._message_handlers):
            if handler in self._message_handlers:
                await self._call(handler, message)

    async def _call(self, handler: Callable[[Any], Awaitable[object] | None], argument: Argument) -> None:
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

    def _report(self, handler: Callable[..., object], argument: Argument, error: BaseException) -> None:
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

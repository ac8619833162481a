"""Who hears of new messages and events. One conversation: in order, one list at a time; others: concurrently.

A handler that raises is reported (logged, and told as HandlerFailed) and stops nothing; a slow one holds up its own
conversation, never the socket: when WAITING_LIMIT messages wait, the inbox stops taking in, and what the server pushes
meanwhile is fetched later by its seq.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Self

from ..errors import NotLoggedIn, RequestTimeout, StreamOverflow
from ..events import HandlerFailed
from ..ids import ConversationKey
from ..message import Message

log = logging.getLogger("timim")
MessageHandler = Callable[[list[Message]], Awaitable[None] | None]
EventHandler = Callable[[Any], Awaitable[None] | None]
LIST_LIMIT = 500  # messages in one call of a handler
WAITING_LIMIT = 10_000  # messages that wait for handlers; past it the inbox takes no more in, and keeps seqs only
STREAM_LIMIT = 10_000


class EventStream:
    """Events and new messages as they come, from the call that made it on: `async for`, best inside `async with`.

    At most `STREAM_LIMIT` wait for a slow reader; past it the stream ends with StreamOverflow, and the queries tell what
    was missed.
    """

    def __init__(self, kinds: tuple[type[Any], ...], closed: Callable[[EventStream], None]) -> None:
        self._kinds = kinds
        self._closed = closed
        self._waiting: deque[object] = deque()
        self._wake = asyncio.Event()
        self._overflow = False
        self._ended = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        while not self._waiting:
            if self._overflow:
                raise StreamOverflow(f"more than {STREAM_LIMIT} events waited for their reader")
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
        """Hear nothing more; what waits can still be read."""
        self._ended = True
        self._wake.set()
        self._closed(self)

    def _offer(self, event: object) -> None:
        if self._overflow or not isinstance(event, self._kinds):
            return
        if len(self._waiting) >= STREAM_LIMIT:
            self._overflow = True
            self._closed(self)
        else:
            self._waiting.append(event)
        self._wake.set()


class Dispatcher:
    """Lanes, one a conversation and one for events; a lane's task lives while it has work."""

    def __init__(self) -> None:
        self._message_handlers: list[MessageHandler] = []
        self._event_handlers: dict[type[Any], list[EventHandler]] = {}
        self._waiters: list[tuple[ConversationKey | None, Callable[[Message], bool], asyncio.Future[Message]]] = []
        self._streams: set[EventStream] = set()
        self._lanes: dict[ConversationKey | None, deque[Any]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._draining: set[asyncio.Task[Any] | None] = set()
        self._waiting = 0
        self._room = asyncio.Event()

    def on_new_message(self, handler: MessageHandler) -> None:
        self._message_handlers.append(handler)

    def on(self, event: type[Any], handler: EventHandler) -> None:
        self._event_handlers.setdefault(event, []).append(handler)

    def messages(self, messages: Sequence[Message]) -> None:
        """Throw messages of one conversation that the local store reported as new, in order."""
        if self._waiters or self._streams:
            for message in messages:
                for waiter in list(self._waiters):
                    self._try(waiter, message)
                for stream in list(self._streams):
                    stream._offer(message)
        if self._message_handlers and messages:
            self._enqueue(messages[0].conversation, messages)

    def event(self, event: object) -> None:
        """Tell the handlers of this event's class; in the order of the events."""
        for stream in list(self._streams):
            stream._offer(event)
        if type(event) in self._event_handlers:
            self._enqueue(None, (event,))

    def wait_for(
        self, key: ConversationKey | None, predicate: Callable[[Message], bool], *, timeout: float | None = None
    ) -> asyncio.Future[Message]:
        """A future for the next new message that matches; armed when this returns, RequestTimeout after `timeout` s."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Message] = loop.create_future()
        waiter = key, predicate, future
        self._waiters.append(waiter)
        future.add_done_callback(lambda _: self._waiters.remove(waiter) if waiter in self._waiters else None)
        if timeout is not None:
            timer = loop.call_later(timeout, _fail, future, RequestTimeout(f"no such message within {timeout} s"))
            future.add_done_callback(lambda _: timer.cancel())
        return future

    def stream(self, *kinds: type[Any]) -> EventStream:
        """A stream of these kinds, of everything when none is named; it hears from now on."""
        stream = EventStream(kinds or (object,), self._streams.discard)
        self._streams.add(stream)
        return stream

    async def room(self) -> None:
        """Wait until fewer than WAITING_LIMIT messages wait for handlers."""
        while self._waiting >= WAITING_LIMIT:
            self._room.clear()
            await self._room.wait()

    async def drain(self) -> None:
        """Wait until every handler has run, but for those that call this; streams end, and waiters: nothing will come.

        Cancelling it cancels the handlers.
        """
        for stream in list(self._streams):
            stream.close()
        for _, _, future in list(self._waiters):
            _fail(future, NotLoggedIn("logged out: no message will come"))
        me = asyncio.current_task()
        self._draining.add(me)
        try:
            while others := self._tasks - self._draining:
                await asyncio.wait(others)
        except asyncio.CancelledError:
            others = self._tasks - self._draining
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            raise
        finally:
            self._draining.discard(me)

    @staticmethod
    def _try(
        waiter: tuple[ConversationKey | None, Callable[[Message], bool], asyncio.Future[Message]], message: Message
    ) -> None:
        key, predicate, future = waiter
        if future.done() or (key is not None and key != message.conversation):
            return
        try:
            if predicate(message):
                future.set_result(message)
        except Exception as exc:  # noqa: BLE001  who waits hears of it: it is their own function
            future.set_exception(exc)

    def _enqueue(self, key: ConversationKey | None, items: Sequence[object]) -> None:
        self._waiting += len(items)
        lane = self._lanes.get(key)
        if lane is not None:
            lane.extend(items)
            return
        self._lanes[key] = deque(items)
        task = asyncio.create_task(self._run(key), name=f"timim handlers {key or 'events'}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _taken(self, count: int) -> None:
        self._waiting -= count
        self._room.set()

    async def _run(self, key: ConversationKey | None) -> None:
        lane = self._lanes[key]
        try:
            while lane:
                if isinstance(lane[0], Message):
                    batch = [lane.popleft() for _ in range(min(len(lane), LIST_LIMIT))]
                    self._taken(len(batch))
                    for handler in list(self._message_handlers):
                        await self._call(handler, list(batch))
                else:
                    event = lane.popleft()
                    self._taken(1)
                    for handler in list(self._event_handlers.get(type(event), ())):
                        await self._call(handler, event)
        finally:
            self._taken(len(lane))  # those of a lane that was cancelled
            del self._lanes[key]

    async def _call(self, handler: Callable[[Any], Awaitable[None] | None], argument: object) -> None:
        me = asyncio.current_task()
        try:
            result = handler(argument)
            if inspect.isawaitable(result):
                await result
        except asyncio.CancelledError as exc:
            if me is not None and me.cancelling():
                raise
            self._report(handler, argument, exc)  # something that it waited for was cancelled, and not itself
        except Exception as exc:  # noqa: BLE001  handlers are the user's, and told of
            self._report(handler, argument, exc)

    def _report(self, handler: Callable[[Any], Awaitable[None] | None], argument: object, error: BaseException) -> None:
        log.error("the handler %s raised", getattr(handler, "__qualname__", handler), exc_info=error)
        if not isinstance(argument, HandlerFailed):
            self.event(HandlerFailed(handler, argument, error))


def _fail(future: asyncio.Future[Message], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # nobody may be waiting for it any more

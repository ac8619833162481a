"""Waiters for single messages, and streams of messages and events."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

from ..errors import NotLoggedIn, RequestTimeout, StreamOverflow
from ..events import ClientEvent
from ..ids import ConversationKey
from ..message import Message
from ..util.displayed import Displayed

__all__ = ["EventStream", "Listeners"]

KindT = TypeVar("KindT", bound=ClientEvent | Message)
KindT_co = TypeVar("KindT_co", bound=ClientEvent | Message, covariant=True)
STREAM_LIMIT = 10_000


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

    def offer(self, item: ClientEvent | Message) -> None:
        """Queue an item of one of the classes; the client calls this method."""
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


class Listeners:
    """The waiters and the open streams of a client. Each gets a message or an event at once, before the handlers."""

    def __init__(self) -> None:
        self._waiters: list[_Waiter] = []
        self._streams: set[EventStream[Any]] = set()

    @property
    def waiting(self) -> int:
        """The number of waiters."""
        return len(self._waiters)

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

    def offer_messages(self, messages: Sequence[Message]) -> None:
        """Give messages to the waiters and to the streams."""
        if self._waiters or self._streams:
            for message in messages:
                for waiter in list(self._waiters):
                    _try(waiter, message)
                for stream in list(self._streams):
                    stream.offer(message)

    def offer_event(self, event: ClientEvent) -> None:
        """Give an event to the streams of its class."""
        for stream in list(self._streams):
            stream.offer(event)

    def close(self) -> None:
        """Close the streams, and let the futures of the waiters raise NotLoggedIn."""
        for stream in list(self._streams):
            stream.close()
        for waiter in list(self._waiters):
            _fail(waiter.future, NotLoggedIn("the client logged out while waiting for a message"))


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

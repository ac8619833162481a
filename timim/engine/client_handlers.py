"""The handlers, streams and waiters of a client, through which a program receives messages and events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypeVar, overload

from pydantic import AfterValidator

from ..errors import InvalidArgument
from ..events import ClientEvent
from ..message import Message
from ..util.arguments import Seconds, Text, checked
from ..util.displayed import Displayed
from ..util.interactive import CellFunctions
from .dispatcher import EventDecorator, HandlerResult
from .engine import Engine
from .listeners import EventStream

__all__ = ["ClientHandlers"]

KEY_LIMIT_BYTES = 200  # of `once`
MessagesHandler = TypeVar("MessagesHandler", bound=Callable[[list[Message]], Awaitable[None] | None])
OneMessageHandler = TypeVar("OneMessageHandler", bound=Callable[[Message], Awaitable[object] | None])
E1 = TypeVar("E1", bound=ClientEvent)
E2 = TypeVar("E2", bound=ClientEvent)
E3 = TypeVar("E3", bound=ClientEvent)
E4 = TypeVar("E4", bound=ClientEvent)
E5 = TypeVar("E5", bound=ClientEvent)
K1 = TypeVar("K1", bound=ClientEvent | Message)
K2 = TypeVar("K2", bound=ClientEvent | Message)
K3 = TypeVar("K3", bound=ClientEvent | Message)


def _checked_kind(kind: type[Any]) -> type[Any]:
    if not issubclass(kind, ClientEvent | Message):
        raise ValueError(f"must be timim.Message or a class of event, not {kind!r}")
    return kind


EventKind = Annotated[type[Any], AfterValidator(_checked_kind)]


@checked(InvalidArgument)
class ClientHandlers(Displayed):
    """The part of a client with which a program receives messages and events."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._cells = CellFunctions()

    def on_new_message(self, handler: MessagesHandler) -> MessagesHandler:
        """Register a handler (sync or async) for lists of new messages, and return the handler.

        Register handlers before the login, so that no message is missed. Each call gets messages of one conversation, in
        order. Lists of one conversation are delivered one at a time, and conversations concurrently. The handler gets each
        message that is new to this device exactly once, also if it was read on another device, and if it was registered
        twice. An error of the handler is logged and reported as HandlerFailed. A sync handler that takes more than 0.2 s is
        named in a warning of the log, because the whole event loop waits for it (Tencent IM SDK guide, 接收消息).
        """
        self._remove_replaced_by(handler)
        self._engine.dispatcher.on_new_message(handler)
        return handler

    def on_message(self, handler: OneMessageHandler) -> OneMessageHandler:
        """Register a handler (sync or async) for one new message at a time, and return the handler.

        The handler gets the messages that other users wrote: none of this account, which would let a bot answer itself, no
        notices of the server, which are events, and no recalled ones. `on_new_message` gets all of them. In a conversation, the
        next message waits until the handler has returned; up to `concurrency` conversations are handled at the same time. When
        10,000 messages wait, the client stops receiving until there is room.

        A message counts as handled when all handlers of it have returned. A handler that raises is reported as HandlerFailed
        and called again after 0.5 s, 1 s, …; a message that was not handled before a logout, a crash or a restart is delivered
        again at the next login, before newer ones of its conversation. `message.redelivered` is True then, and after
        `max_attempts` the message is in `client.dead_letters`. Messages that a handler sends before it returns are stored once
        for each handled message, however often the handler runs: the n-th `send()` to a conversation returns the message of
        the earlier attempt, with `replayed` True. Use `once` for other effects. Online messages are not delivered again after
        a restart, and messages that arrive while no handler is registered count as handled.

        `client.on_message(router.feed)` connects a Router.
        """
        self._remove_replaced_by(handler)
        self._engine.dispatcher.messages.add(handler)
        return handler

    @overload
    def on(self, event: type[E1], /) -> EventDecorator[E1]: ...
    @overload
    def on(self, event: type[E1], second: type[E2], /) -> EventDecorator[E1 | E2]: ...
    @overload
    def on(self, event: type[E1], second: type[E2], third: type[E3], /) -> EventDecorator[E1 | E2 | E3]: ...
    @overload
    def on(
        self, event: type[E1], second: type[E2], third: type[E3], fourth: type[E4], /
    ) -> EventDecorator[E1 | E2 | E3 | E4]: ...
    @overload
    def on(
        self, event: type[E1], second: type[E2], third: type[E3], fourth: type[E4], fifth: type[E5], /
    ) -> EventDecorator[E1 | E2 | E3 | E4 | E5]: ...
    @overload
    def on(self, *events: type[ClientEvent]) -> EventDecorator[ClientEvent]: ...
    def on(self, *events: type[ClientEvent]) -> EventDecorator[Any]:
        """Return a decorator that registers a handler (sync or async) for events of these classes (ConnectionLost, …).

        A type checker requires the handler to accept each of the classes, or any ClientEvent if more than five are given.
        A handler that is registered twice gets each event once.

        Raises:
            InvalidArgument: No class is given.
        """
        if not events:
            raise InvalidArgument("events: must be at least one class of event")

        def register(handler: Callable[[Any], HandlerResult]) -> Callable[[Any], HandlerResult]:
            self._remove_replaced_by(handler)
            for event in events:
                self._engine.dispatcher.on(event, handler)
            return handler

        return register

    def _remove_replaced_by(self, handler: Callable[..., object]) -> None:
        """Remove the handlers that an earlier run of the notebook cell of `handler` has registered."""
        for earlier in self._cells.replaced_by(handler):
            self._engine.dispatcher.off(earlier)

    def off(self, handler: Callable[..., object]) -> None:
        """Remove a handler that `on_message`, `on_new_message` or `on` registered, from all that it was registered for.

        The handler gets nothing that is not yet given to it; a running call of it goes on.

        Raises:
            InvalidArgument: The handler is not registered.
        """
        if not self._engine.dispatcher.off(handler):
            raise InvalidArgument(f"handler: {getattr(handler, '__qualname__', handler)!r} is not registered with this client")

    @asynccontextmanager
    async def once(self, key: Text) -> AsyncIterator[bool]:
        """Run a block once for a key, also across restarts: `async with client.once("invoice-17") as first: if first: …`.

        The target of `as` is True the first time. The key is stored when the block ends without an error; after an error, a
        cancellation or a crash the next block of the key is a first one again. Of several tasks with one key, one runs at a
        time. The local store keeps the keys, about 100 bytes each, so that each device has its own.

        Raises:
            InvalidArgument: The key is empty or over 200 bytes, or this task is already in a block of the same key.
            NotLoggedIn: The client is not open.
            StorageError: The local store failed; the key is not stored.
        """
        if not key or len(key.encode()) > KEY_LIMIT_BYTES:
            raise InvalidArgument(f"key: must be 1 to {KEY_LIMIT_BYTES} bytes of UTF-8, not {len(key.encode())}")
        async with self._engine.once.block(key) as first:
            yield first

    def wait_for(self, predicate: Callable[[Message], bool], *, timeout: Seconds | None = None) -> asyncio.Future[Message]:
        """Return a future of the next new message, in any conversation, that satisfies `predicate`.

        Messages count from this call on, also before the future is awaited. Cancel the future to stop waiting. Awaiting
        the future also raises the errors of `predicate`.

        Raises:
            RequestTimeout: By the future, after `timeout` seconds without such a message.
            NotLoggedIn: By the future, when the client logs out.
        """
        return self._engine.dispatcher.listeners.wait_for(None, predicate, timeout=timeout)

    @overload
    def events(self) -> EventStream[ClientEvent | Message]: ...
    @overload
    def events(self, kind: type[K1], /) -> EventStream[K1]: ...
    @overload
    def events(self, kind: type[K1], second: type[K2], /) -> EventStream[K1 | K2]: ...
    @overload
    def events(self, kind: type[K1], second: type[K2], third: type[K3], /) -> EventStream[K1 | K2 | K3]: ...
    @overload
    def events(self, *kinds: type[ClientEvent | Message]) -> EventStream[ClientEvent | Message]: ...
    def events(self, *kinds: EventKind) -> EventStream[Any]:
        """Open a stream of new messages (`timim.Message`) and events of these classes, by default of all.

        `async with client.events(timim.Message) as new: async for message in new: …`. The stream receives from this call
        on, and ends at logout.

        Raises:
            StreamOverflow: By the iteration, when more than 10,000 items wait; open a new stream and query the history.
        """
        return self._engine.dispatcher.listeners.open_stream(*kinds or (ClientEvent, Message))

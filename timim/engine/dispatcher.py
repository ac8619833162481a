"""Who hears of new messages and events. One conversation: in order, one list at a time; others: concurrently.

A handler that raises is reported and stops nothing; a slow one holds up its own conversation only, never the socket.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from ..ids import ConversationKey
from ..message import Message

log = logging.getLogger("timim")
MessageHandler = Callable[[list[Message]], Awaitable[None] | None]
EventHandler = Callable[[Any], Awaitable[None] | None]
LIST_LIMIT = 500  # messages in one call of a handler


class Dispatcher:
    """Lanes, one a conversation and one for events; a lane's task lives while it has work."""

    def __init__(self) -> None:
        self._message_handlers: list[MessageHandler] = []
        self._event_handlers: dict[type[Any], list[EventHandler]] = {}
        self._waiters: list[tuple[ConversationKey | None, Callable[[Message], bool], asyncio.Future[Message]]] = []
        self._lanes: dict[ConversationKey | None, deque[Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def on_new_message(self, handler: MessageHandler) -> None:
        self._message_handlers.append(handler)

    def on(self, event: type[Any], handler: EventHandler) -> None:
        self._event_handlers.setdefault(event, []).append(handler)

    def messages(self, messages: Iterable[Message]) -> None:
        """Throw messages that the local store reported as new, in order."""
        for message in messages:
            for waiter in list(self._waiters):
                key, matches, future = waiter
                if (key is None or key == message.conversation) and not future.done() and matches(message):
                    future.set_result(message)
                    self._waiters.remove(waiter)
            if self._message_handlers:
                self._enqueue(message.conversation, message)

    def event(self, event: object) -> None:
        """Tell the handlers of this event's class; in the order of the events."""
        if type(event) in self._event_handlers:
            self._enqueue(None, event)

    def wait_for(self, key: ConversationKey | None, matches: Callable[[Message], bool]) -> asyncio.Future[Message]:
        """A future for the next new message that matches; armed when this returns."""
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        waiter = key, matches, future
        self._waiters.append(waiter)
        future.add_done_callback(lambda _: self._waiters.remove(waiter) if waiter in self._waiters else None)
        return future

    async def drain(self) -> None:
        """Wait until every handler has run."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Stop the handlers that still run."""
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _enqueue(self, key: ConversationKey | None, item: object) -> None:
        lane = self._lanes.get(key)
        if lane is not None:
            lane.append(item)
            return
        self._lanes[key] = deque((item,))
        task = asyncio.create_task(self._run(key), name=f"timim handlers {key or 'events'}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, key: ConversationKey | None) -> None:
        lane = self._lanes[key]
        try:
            while lane:
                if isinstance(lane[0], Message):
                    batch = [lane.popleft() for _ in range(min(len(lane), LIST_LIMIT))]
                    for handler in list(self._message_handlers):
                        await self._call(handler, list(batch))
                else:
                    event = lane.popleft()
                    for handler in list(self._event_handlers.get(type(event), ())):
                        await self._call(handler, event)
        finally:
            del self._lanes[key]

    @staticmethod
    async def _call(handler: Callable[[Any], Awaitable[None] | None], argument: object) -> None:
        try:
            result = handler(argument)
            if inspect.isawaitable(result):
                await result
        except Exception:
            log.exception("the handler %s raised", getattr(handler, "__qualname__", handler))

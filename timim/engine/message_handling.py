"""The handlers of single messages, and the attempts at each message.

A message counts as handled when all handlers have returned. After an error those that did not return are called again, up to
`max_attempts` times; then the message is a dead letter.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from weakref import WeakKeyDictionary

from ..events import ClientEvent, MessageDeadLettered
from ..message import Message
from .delivery import Delivery
from .handler_caller import HandlerCaller, name_of
from .handler_slots import HandlerSlots
from .handling_record import HandlingRecord

__all__ = ["MessageHandler", "MessageHandling"]

log = logging.getLogger(__name__)
MessageHandler = Callable[[Message], Awaitable[object] | None]
RETRY_PAUSE_S = 0.5  # before the second attempt at a message; doubles with each further one
RETRY_PAUSE_LIMIT_S = 30.0
NO_ERROR = "the program ended while a handler was running"


class MessageHandling:
    """The handlers of single messages of a client.

    Args:
        record: Record of the messages that are handled.
        caller: Caller of the handlers.
        slots: Slots of the running handlers.
        deliver_event: Delivers MessageDeadLettered.
    """

    def __init__(
        self,
        record: HandlingRecord,
        caller: HandlerCaller,
        slots: HandlerSlots,
        deliver_event: Callable[[ClientEvent], None],
    ) -> None:
        self._record = record
        self._caller = caller
        self._slots = slots
        self._deliver_event = deliver_event
        self._failures: WeakKeyDictionary[Message, str] = WeakKeyDictionary()  # the last error of a message
        self.handlers: list[MessageHandler] = []
        self.handler_added: asyncio.Event = asyncio.Event()

    def add(self, handler: MessageHandler) -> None:
        """Add a handler; adding it again changes nothing, so that it gets each message once."""
        if handler not in self.handlers:
            self.handlers.append(handler)
            self.handler_added.set()

    async def handle(self, message: Message) -> bool:
        """Call the handlers of a message until each has returned; return False if the client logs out before.

        After `max_attempts` the message becomes a dead letter.
        """
        handlers = self._named()
        while message._attempt <= self._record.max_attempts:
            if message._redelivered:
                await self._record.begin(message)
            async with self._slots:
                await self._attempt(message, handlers)
            if not handlers:
                self._record.set_handled(message)
                return True
            if not self._caller.serving:
                return False
            _count_attempt(message)
            if message._attempt <= self._record.max_attempts and await self._pause(message._attempt):
                return False
        failure = self._failures.pop(message, NO_ERROR)
        await self._record.bury(message, failure)
        log.error("message %s of %s is a dead letter: %s", message.msg_id, message.key, failure)
        self._deliver_event(MessageDeadLettered(message, message._attempt - 1, failure))
        return True

    async def _attempt(self, message: Message, handlers: dict[str, MessageHandler]) -> None:
        """Call the handlers one after the other, and remove those that return, or that were removed meanwhile."""
        for name, handler in list(handlers.items()):
            if handler in self.handlers:
                with Delivery(self._record.account, message, name):
                    try:
                        error = await self._caller.call(handler, message)
                    except asyncio.CancelledError:
                        if self._caller.serving:  # the handler cancelled its own task: another task makes the next attempt
                            self._failures[message] = f"{name_of(handler)}: cancelled"
                            _count_attempt(message)
                        raise
                if error is not None:
                    self._failures[message] = f"{name_of(handler)}: {error!r}"
                    continue
            del handlers[name]

    def _named(self) -> dict[str, MessageHandler]:
        """Return the handlers by names that are the same in each run of the program."""
        named: dict[str, MessageHandler] = {}
        for handler in self.handlers:
            name = f"{getattr(handler, '__module__', '')}:{getattr(handler, '__qualname__', type(handler).__qualname__)}"
            named[name if name not in named else f"{name} {len(named)}"] = handler
        return named

    async def _pause(self, attempt: int) -> bool:
        """Wait before an attempt at a message; return True if the client logs out meanwhile."""
        try:
            async with asyncio.timeout(min(RETRY_PAUSE_S * 2 ** (attempt - 2), RETRY_PAUSE_LIMIT_S)):
                await self._caller.ending.wait()
        except TimeoutError:
            return not self._caller.serving
        return True


def _count_attempt(message: Message) -> None:
    message._attempt += 1
    message._redelivered = True

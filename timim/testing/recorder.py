"""Recorder of a client's messages and events. A test can also wait for a message that was delivered before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from timim import Client, ClientEvent, Message

E = TypeVar("E", bound=ClientEvent)
T = TypeVar("T")
WAIT_S = 20.0  # ten times the delivery time on a loaded machine


class EventRecorder:
    """Recorder of the messages and events that a client delivers from now on.

    Args:
        client: The client.
        *events: Classes of events to record.

    Attributes:
        messages: All messages delivered to `on_new_message`, in order.
        events: All events of the given classes, in order.
    """

    def __init__(self, client: Client, *events: type[ClientEvent]) -> None:
        self.messages: list[Message] = []
        self.events: list[ClientEvent] = []
        self._changed = asyncio.Condition()
        client.on_new_message(self._record_messages)
        if events:
            client.on(*events)(self._record_event)

    async def wait_for_message(self, predicate: Callable[[Message], bool] = lambda _: True) -> Message:
        """Return the first recorded message that matches, or wait for one.

        Args:
            predicate: Returns True for the wanted message; by default any message.

        Raises:
            TimeoutError: No such message was delivered within 20 seconds.
        """
        return await self._wait_for_first(self.messages, predicate)

    async def wait_for_event(self, event_type: type[E], predicate: Callable[[E], bool] = lambda _: True) -> E:
        """Return the first recorded event of a class that matches, or wait for one.

        Args:
            event_type: One of the classes given to the constructor.
            predicate: Returns True for the wanted event; by default any event of the class.

        Raises:
            TimeoutError: No such event was delivered within 20 seconds.
        """
        found = await self._wait_for_first(self.events, lambda event: isinstance(event, event_type) and predicate(event))
        assert isinstance(found, event_type)
        return found

    async def wait_for_messages(self, count: int) -> list[Message]:
        """Return all recorded messages once there are enough.

        Args:
            count: Minimum number of messages.

        Raises:
            TimeoutError: Fewer messages were delivered within 20 seconds.
        """
        async with asyncio.timeout(WAIT_S), self._changed:
            await self._changed.wait_for(lambda: len(self.messages) >= count)
        return self.messages

    async def _wait_for_first(self, recorded: list[T], predicate: Callable[[T], bool]) -> T:
        async with asyncio.timeout(WAIT_S), self._changed:
            await self._changed.wait_for(lambda: any(map(predicate, recorded)))
        return next(filter(predicate, recorded))

    async def _record_messages(self, messages: list[Message]) -> None:
        async with self._changed:
            self.messages += messages
            self._changed.notify_all()

    async def _record_event(self, event: ClientEvent) -> None:
        async with self._changed:
            self.events.append(event)
            self._changed.notify_all()

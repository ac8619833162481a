"""What a client was told, kept for a test to look at: no waiting by the clock, no race between asking and arriving."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from ..client import Client
from ..message import Message

E = TypeVar("E")
T = TypeVar("T")
WAIT_S = 20.0


class Watch:
    """Everything that a client's handlers get from now on: `messages`, and `events` of the classes named."""

    def __init__(self, client: Client, *events: type[Any]) -> None:
        self.messages: list[Message] = []
        self.events: list[object] = []
        self._changed = asyncio.Condition()
        client.on_new_message(self._take)
        if events:
            client.on(*events)(self._hear)

    async def message(self, matches: Callable[[Message], bool] = lambda _: True) -> Message:
        """The first message that matches, of those that came and those to come within 20 s."""
        return await self._first(self.messages, matches)

    async def event(self, kind: type[E], matches: Callable[[E], bool] = lambda _: True) -> E:
        """The first event of a class that matches; the class must have been named."""
        found = await self._first(self.events, lambda event: isinstance(event, kind) and matches(event))
        assert isinstance(found, kind)
        return found

    async def upto(self, count: int) -> list[Message]:
        """All messages, once there are `count`."""
        async with asyncio.timeout(WAIT_S), self._changed:
            await self._changed.wait_for(lambda: len(self.messages) >= count)
        return self.messages

    async def _first(self, kept: list[T], matches: Callable[[T], bool]) -> T:
        async with asyncio.timeout(WAIT_S), self._changed:
            await self._changed.wait_for(lambda: any(map(matches, kept)))
        return next(filter(matches, kept))

    async def _take(self, messages: list[Message]) -> None:
        async with self._changed:
            self.messages += messages
            self._changed.notify_all()

    async def _hear(self, event: object) -> None:
        async with self._changed:
            self.events.append(event)
            self._changed.notify_all()

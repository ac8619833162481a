"""The pause of all messages after the server refused one by a rate limit of the account.

The server refuses the messages that follow a refused one, until the client says that it begins again. The client begins again
when all requests are answered and the pause is over, with the first refused message of each conversation, so the order holds.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from ..errors import TimimError
from ..events import RateLimitReached
from ..protocol.codec import Body
from ..protocol.frames import Frame
from ..protocol.pacing import pause_s
from ..protocol.session import RESUME_SENDS
from ..transport.websocket import Link
from .dispatcher import Dispatcher

_random = random.Random()


class SendPace:
    """The pause of the sends of one client."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._until: float | None = None  # on the clock of the loop
        self._refused = False  # the server refuses messages until it is told that the client begins again

    def begin(self, error: TimimError, on_over: Callable[[], None]) -> None:
        """Begin a pause, unless there is one; call `on_over` at its end."""
        self._refused = True
        if self._until is not None:
            return
        loop = asyncio.get_running_loop()
        wait_s = pause_s(error, _random)
        self._until = loop.time() + wait_s
        loop.call_at(self._until, on_over)
        self._dispatcher.deliver_event(RateLimitReached(error, wait_s))

    def holds(self, in_flight: int) -> bool:
        """Return True if no message may be sent now, while `in_flight` requests are not answered yet."""
        if not self._refused:
            return False
        if in_flight or (self._until is not None and asyncio.get_running_loop().time() < self._until):
            return True
        self._until = None
        return False

    def resume(self, link: Link, *, timeout_s: float) -> None:
        """Tell the server, before the first message after a pause, that the client begins again."""
        if self._refused:
            self._refused = False
            link.start(RESUME_SENDS.request(Body()), _ignore, timeout_s=timeout_s)


def _ignore(_: Frame | TimimError) -> None:
    """Ignore the reply: if the server refused to begin again, it refuses the messages too."""

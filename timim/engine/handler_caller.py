"""Calls of the program's handlers, and the state of the login in which they run."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from ..events import ClientEvent, HandlerFailed
from ..message import Message

__all__ = ["Argument", "HandlerCaller", "name_of"]

log = logging.getLogger(__name__)
Argument = list[Message] | Message | ClientEvent  # of a handler
BLOCKING_LIMIT_S = 0.2  # a sync handler that takes longer is named in a warning


class HandlerCaller:
    """Calls handlers, and reports their exceptions.

    Args:
        deliver_event: Delivers HandlerFailed.
    """

    def __init__(self, deliver_event: Callable[[ClientEvent], None]) -> None:
        self._deliver_event = deliver_event
        self.login_task: asyncio.Task[None] | None = None  # a task that lives as long as the login
        self._stopping = 0  # logouts and drains that wait for handlers
        self.ending: asyncio.Event = asyncio.Event()  # set while one of them waits

    @property
    def serving(self) -> bool:
        """False while a logout waits for handlers, and when the event loop has cancelled all tasks because it is ending."""
        login = self.login_task
        return not self._stopping and login is not None and not login.done() and not login.cancelling()

    def begin_stop(self) -> None:
        """Note that a logout or a drain waits for the handlers: a cancelled handler is not replaced, and nothing is retried."""
        self._stopping += 1
        self.ending.set()

    def end_stop(self) -> None:
        """Note that one of them has ended."""
        self._stopping -= 1
        if not self._stopping:
            self.ending.clear()

    async def call(self, handler: Callable[[Any], Awaitable[object] | None], argument: Argument) -> BaseException | None:
        """Call a handler; report and return its exception. Raises CancelledError if this task is cancelled."""
        me = asyncio.current_task()
        try:
            started = time.perf_counter()
            result = handler(argument)
            if inspect.isawaitable(result):
                await result
            elif (seconds := time.perf_counter() - started) > BLOCKING_LIMIT_S:
                log.warning(
                    "handler %s blocked the event loop for %.2f s; make it async, or call asyncio.to_thread in it",
                    name_of(handler),
                    seconds,
                )
        except asyncio.CancelledError as exc:
            if me is not None and me.cancelling():
                if self.serving:
                    self._report(handler, argument, exc)  # the handler, or the program, cancelled this task
                raise
            self._report(handler, argument, exc)  # the handler awaited a task that was cancelled
            return exc
        except (SystemExit, KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as exc:  # noqa: BLE001  an exception of the user's handler is reported
            self._report(handler, argument, exc)
            return exc
        return None

    def _report(self, handler: Callable[..., object], argument: Argument, error: BaseException) -> None:
        log.error("handler %s raised an exception", name_of(handler), exc_info=error)
        if not isinstance(argument, HandlerFailed):
            self._deliver_event(HandlerFailed(handler, argument, error))


def name_of(handler: Callable[..., object]) -> object:
    """Return the name of a handler for records and errors."""
    return getattr(handler, "__qualname__", handler)

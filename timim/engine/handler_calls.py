"""Handlers that log in or out. A logout does not wait for them, because they wait for the logout.

The context of a task identifies the handler that created it, so this also works under `wait_for`, `gather` and `create_task`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from weakref import WeakKeyDictionary

__all__ = ["cancel_handlers", "current_handler", "enter_handler", "leaving", "wait_for_handlers"]

_handler: ContextVar[asyncio.Task[None] | None] = ContextVar("timim handler", default=None)


class _Leaving:
    """The handlers of one loop that are logging in or out, and an event for each wait, set when another handler begins."""

    def __init__(self) -> None:
        self.handlers: Counter[asyncio.Task[None]] = Counter()
        self.waits: set[asyncio.Event] = set()


_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _Leaving] = WeakKeyDictionary()


def _of_loop() -> _Leaving:
    return _loops.setdefault(asyncio.get_running_loop(), _Leaving())


def enter_handler(task: asyncio.Task[None]) -> None:
    """Mark the running context as that of a task that calls handlers."""
    _handler.set(task)


def current_handler() -> asyncio.Task[None] | None:
    """Return the task that calls the handler from which this code runs; None outside of handlers."""
    return _handler.get()


@contextmanager
def leaving() -> Iterator[None]:
    """Exempt the handler from which this code runs, if any, from all waits for handlers."""
    handler, state = _handler.get(), _of_loop()
    if handler is None:
        yield
        return
    state.handlers[handler] += 1
    for wait in state.waits:
        wait.set()
    try:
        yield
    finally:
        state.handlers[handler] -= 1
        if not state.handlers[handler]:
            del state.handlers[handler]


async def wait_for_handlers(tasks: set[asyncio.Task[None]]) -> None:
    """Wait until all tasks of the set, which may grow meanwhile, have ended, except handlers that are logging in or out.

    Cancelling cancels the tasks that are waited for, and waits for their end.
    """
    state, changed = _of_loop(), asyncio.Event()
    state.waits.add(changed)
    try:
        while others := tasks - state.handlers.keys():
            changed.clear()
            wake = asyncio.create_task(changed.wait())
            try:
                await asyncio.wait({*others, wake}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                wake.cancel()
    except asyncio.CancelledError:
        await cancel_handlers(tasks)
        raise
    finally:
        state.waits.discard(changed)


async def cancel_handlers(tasks: set[asyncio.Task[None]]) -> None:
    """Cancel all tasks of the set, except handlers that are logging in or out, and wait for their end."""
    others = tasks - _of_loop().handlers.keys()
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)

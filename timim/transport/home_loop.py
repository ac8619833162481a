"""The event loop and the process in which a client lives."""

from __future__ import annotations

import asyncio
import os

from ..errors import InvalidArgument

__all__ = ["HomeLoop"]


class HomeLoop:
    """The event loop in which a client was opened first. Its futures and locks belong to this loop, also after `close()`."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = 0

    @property
    def ended(self) -> bool:
        """True if the client had an event loop and that loop is closed."""
        return self._loop is not None and self._loop.is_closed()

    def is_running_here(self) -> bool:
        """Return True if the running event loop, in this process, is the client's."""
        return self._process == os.getpid() and self._loop is asyncio.get_running_loop()

    def enter(self) -> None:
        """Make the running event loop the client's, if it has none."""
        if self._loop is None:
            self._loop, self._process = asyncio.get_running_loop(), os.getpid()

    def check(self) -> None:
        """Check that the running event loop is the client's, if it has one.

        Raises:
            InvalidArgument: The call comes from another event loop, another thread, or a forked process.
        """
        if self._loop is None:
            return
        try:
            running = asyncio.get_running_loop()  # none in a process that was forked from a coroutine
        except RuntimeError:
            running = None
        if running is self._loop:
            return
        if self._process != os.getpid():
            raise InvalidArgument("the client was opened before a fork; create a new Client in this process")
        if running is None:
            raise InvalidArgument("the client must be called in a coroutine of its event loop")
        if self._loop.is_closed():
            raise InvalidArgument("the event loop of the client has ended; create a new Client")
        raise InvalidArgument(
            "the client belongs to another event loop; use asyncio.run_coroutine_threadsafe(…, loop) with its loop"
        )

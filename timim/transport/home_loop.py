"""The event loop and the process in which a client lives."""

from __future__ import annotations

import asyncio
import os

from ..errors import InvalidArgument

__all__ = ["HomeLoop"]


class HomeLoop:
    """The event loop in which a client was opened. Its parts are not thread-safe, and its futures belong to this loop."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = 0

    @property
    def ended(self) -> bool:
        """True if the event loop was closed while the client was open."""
        return self._loop is not None and self._loop.is_closed()

    def enter(self) -> None:
        """Make the running event loop the client's."""
        self._loop, self._process = asyncio.get_running_loop(), os.getpid()

    def leave(self) -> None:
        """Forget the event loop, because the client is closed."""
        self._loop = None

    def check(self) -> None:
        """Check that the running event loop is the client's, if it has one.

        Raises:
            InvalidArgument: The call comes from another event loop, another thread, or a forked process.
        """
        if self._loop is None:
            return
        if self._process != os.getpid():
            raise InvalidArgument("the client was opened before a fork; create a new Client in this process")
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            raise InvalidArgument("the client is used outside of its event loop; call it in a coroutine there") from None
        if running is self._loop:
            return
        if self._loop.is_closed():
            raise InvalidArgument("the client's event loop ended before close(); create a new Client")
        raise InvalidArgument(
            "the client belongs to another event loop; use asyncio.run_coroutine_threadsafe(…, loop) with its loop"
        )

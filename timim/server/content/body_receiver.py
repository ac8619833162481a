"""Reader of the body of an upload, which has to arrive at a least rate."""

from __future__ import annotations

import asyncio

SLOW_STORE_S = 0.5  # a store that takes this long for a part is slow; the sender of the body is not
STEPS = 8  # a window is renewed at most this often in its time, because that makes a timer


class BodyReceiver:
    """The reader of one body. Its `scope` ends after a window in which fewer bytes than the least rate arrived.

    A window ends early once its bytes have arrived, so a single byte never prolongs the time.

    Args:
        least_bytes_per_s: The least rate; 0 demands one byte in each window.
        window_s: Length of a window in seconds.
    """

    def __init__(self, least_bytes_per_s: int, window_s: float) -> None:
        self.scope: asyncio.Timeout = asyncio.timeout(window_s)
        self.ended = False
        self.done = asyncio.Event()
        self._window_s = window_s
        self._least = max(1, int(least_bytes_per_s * window_s))
        self._missing = 0  # bytes until the window is complete
        self._began = 0.0
        self._arrived = 0.0
        self._loop = asyncio.get_running_loop()

    def begin(self) -> None:
        """Begin a window, inside `scope`."""
        self._missing, self._began = self._least, self._loop.time()
        if not self.ended and not self.scope.expired():
            self.scope.reschedule(self._began + self._window_s)

    def count(self, size: int) -> None:
        """Count bytes of the body."""
        self._arrived = self._loop.time()
        self._missing -= size
        if self._missing <= 0 and self._arrived > self._began + self._window_s / STEPS:
            self.begin()

    def resume(self) -> None:
        """Begin a window if the counted bytes took long to store, for which the sender of the body is not responsible."""
        if self._loop.time() - self._arrived > SLOW_STORE_S:
            self.begin()

    def end(self) -> None:
        """Stop reading the body, and keep the received bytes."""
        self.ended = True
        try:
            self.scope.reschedule(0.0)
        except RuntimeError:
            pass  # reading has not begun, or has ended

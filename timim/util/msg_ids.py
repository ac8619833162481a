"""The source of the msg_ids of this process, and the server's time as far as this process knows it."""

from __future__ import annotations

import itertools
import os
import secrets
import time
from collections.abc import Iterator

SOURCE_BITS = 31
_RANDOM = (1 << 32) - 1


class MsgIdSource:
    """Makes msg_ids, `{seconds}-{counter}-{source}`, that differ from each other and from those of any other source.

    The counter has 32 bits, starts anywhere and is never 0, so that ids of one second differ. Those of other processes have
    another source, a random number of 31 bits, in hexadecimal.
    """

    def __init__(self) -> None:
        self._offset_s = 0.0
        self._counter: Iterator[int] = iter(())
        self._suffix = ""
        self.restart()

    def restart(self) -> None:
        """Become another source, as in a child process, which has a copy of its parent's."""
        self._counter = itertools.count(secrets.randbits(32))
        self._suffix = f"-{secrets.randbelow((1 << SOURCE_BITS) - 1) + 1:x}"

    def calibrate(self, server_time_s: float) -> None:
        """Set the server's time; the last login of this process decides."""
        self._offset_s = server_time_s - time.time()

    def time_s(self) -> float:
        """Return the server's time in seconds, or this machine's before the first login."""
        return time.time() + self._offset_s

    def new(self, seconds: int) -> str:
        """Return a msg_id that was never returned before; any thread may call this method."""
        number = next(self._counter) & _RANDOM or next(self._counter) & _RANDOM
        return f"{seconds}-{number}{self._suffix}"


MSG_IDS = MsgIdSource()
os.register_at_fork(after_in_child=MSG_IDS.restart)

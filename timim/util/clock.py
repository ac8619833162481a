"""The wall clock of a server. A test can set the clock of a process that it starts.

The environment variable `TIMIM_CLOCK_FILE` names a file of 8 bytes with one float: the seconds that are added to the
machine's time. Without the variable, the clock is `time.time`.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

VARIABLE = "TIMIM_CLOCK_FILE"
OFFSET = struct.Struct("=d")


def clock_from_file(path: str) -> Callable[[], float]:
    """Return a clock that adds the offset in a file to the machine's time.

    Args:
        path: A file with one packed float of seconds, read at each call; empty for `time.time`.
    """
    if not path:
        return time.time
    with Path(path).open("rb") as file:
        offset = mmap.mmap(file.fileno(), OFFSET.size, access=mmap.ACCESS_READ)

    def now() -> float:
        seconds: float = OFFSET.unpack(offset[:])[0]
        return time.time() + seconds

    return now


now: Callable[[], float] = clock_from_file(os.environ.get(VARIABLE, ""))

"""The wall clock of a server. A test may set that of a process that it starts; nothing can set a running one's.

`TIMIM_CLOCK_FILE` names a file of 8 bytes: the seconds, a float, that are added to the machine's time. Without it this is
`time.time` itself.
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


def clock_of(path: str) -> Callable[[], float]:
    """The machine's clock, set wrong by what stands in this file at the moment."""
    if not path:
        return time.time
    with Path(path).open("rb") as file:
        offset = mmap.mmap(file.fileno(), OFFSET.size, access=mmap.ACCESS_READ)

    def now() -> float:
        seconds: float = OFFSET.unpack(offset[:])[0]
        return time.time() + seconds

    return now


now: Callable[[], float] = clock_of(os.environ.get(VARIABLE, ""))

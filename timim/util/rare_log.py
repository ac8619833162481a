"""Log of repeated events: a line for the first one, and a line with a count for those that follow within a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

__all__ = ["RareLog"]

KEYS_LIMIT = 1000


class RareLog:
    """Log that writes at most one line of each kind in `every_s` seconds, so that a peer cannot fill it.

    Args:
        log: The logger.
        every_s: Least time between two lines of one kind, in seconds.
        now: A monotonic clock in seconds.
    """

    def __init__(self, log: logging.Logger, every_s: float, *, now: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._every_s = every_s
        self._now = now
        self._kinds: dict[str, tuple[float, int]] = {}  # time of the last line, number of events since then

    def write(self, level: int, kind: str, text: str) -> None:
        """Log an event, or count it if its kind was logged a short time ago."""
        now = self._now()
        last, left_out = self._kinds.get(kind, (-self._every_s, 0))
        if now - last < self._every_s:
            self._kinds[kind] = last, left_out + 1
            return
        if len(self._kinds) >= KEYS_LIMIT:
            self._kinds.clear()
        self._kinds[kind] = now, 0
        self._log.log(level, "%s%s", text, f" ({left_out} more since the last such line)" if left_out else "")

"""Log lines of an outage: one when a connection is lost, one when it is restored."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

__all__ = ["OutageLog"]


class OutageLog:
    """The outages of one connection, logged at INFO in two lines each. `now` is a monotonic clock in seconds."""

    def __init__(self, log: logging.Logger, name: str, *, now: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._name = name
        self._now = now
        self._since: float | None = None

    def lost(self, reason: object) -> None:
        """Begin an outage and log the reason. Do nothing during an outage."""
        if self._since is None:
            self._since = self._now()
            self._log.info("%s: connection lost: %s", self._name, reason)

    def restored(self) -> None:
        """End the outage and log how long it lasted. Do nothing without an outage."""
        if self._since is not None:
            self._log.info("%s: connection restored after %.1f s", self._name, self._now() - self._since)
            self._since = None

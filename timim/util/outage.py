"""Log of outages: one line when a dependency is lost, with the reason, and one when it is restored, with the duration."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

__all__ = ["OutageLog"]


class OutageLog:
    """Log of one dependency's outages, such as a bucket or a back end, at INFO. Repeated failures are logged at DEBUG.

    `now` is a monotonic clock in seconds.
    """

    def __init__(self, log: logging.Logger, name: str, *, now: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._name = name
        self._now = now
        self._since: float | None = None

    def on_failure(self, reason: object) -> None:
        """Record a failed call; the first one begins an outage."""
        if self._since is None:
            self._since = self._now()
            self._log.info("lost %s: %s", self._name, reason)
        else:
            self._log.debug("%s is still unavailable: %s", self._name, reason)

    def on_success(self) -> None:
        """Record a successful call, which ends an outage."""
        if self._since is not None:
            duration_s, self._since = self._now() - self._since, None
            self._log.info("restored %s after %.1f s", self._name, duration_s)

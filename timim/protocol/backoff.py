"""Waiting times between tries, with full jitter, so that a thousand clients do not reconnect at the same time."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Backoff:
    """A wait between 0 and `first_s · 2ⁿ`, never over `limit_s`, for the n-th failure in a row (n from 0)."""

    first_s: float = 0.25
    limit_s: float = 30.0  # a server that was away for hours is found within half a minute

    def wait_s(self, failures: int, random: Random) -> float:
        ceiling = min(self.limit_s, self.first_s * 2.0 ** min(failures, 32))
        return random.uniform(0, ceiling)

"""Exponential backoff with full jitter, so that a thousand clients do not reconnect at the same time."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Backoff:
    """Random waits of 0 to `first_s · 2ⁿ` seconds, at most `limit_s`, after n + 1 consecutive failures."""

    first_s: float = 0.25
    limit_s: float = 30.0  # a client reconnects within half a minute, also after an outage of hours

    def wait_s(self, failures: int, random: Random) -> float:
        ceiling = min(self.limit_s, self.first_s * 2.0 ** min(failures, 32))
        return random.uniform(0, ceiling)

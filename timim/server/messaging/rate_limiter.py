"""Rate limit of groups, with one token bucket for each group. Under overload, low priorities are refused first.

The module does no I/O, and the clock is an argument. Invariant: a bucket that admits a message admits any message of a higher
priority.
"""

from __future__ import annotations

from collections.abc import Mapping

BUCKETS_LIMIT = 10_000  # groups in memory; a full bucket has the effect of a new one, so full buckets are removed first

# Share of the bucket that is reserved for higher priorities. High priority may overdraw the bucket ten times: it is not refused
# at ten times the rate, but a flood of messages with this priority is limited too.
RESERVE: Mapping[str, float] = {"High": -10.0, "Normal": 0.0, "Low": 0.5, "Lowest": 0.75}


class GroupRateLimiter:
    """Token buckets of groups.

    Args:
        rate: Messages per second in each group; 0 for no limit.
        burst_s: Time for which an unused rate is saved for a burst, in seconds.
    """

    def __init__(self, rate: float, burst_s: float) -> None:
        self._rate = rate
        self._capacity = max(1.0, rate * burst_s)
        self._buckets: dict[str, tuple[float, float]] = {}  # group → number of tokens, and the time when it was computed

    def admit(self, group_id: str, priority: str, now: float) -> float:
        """Take a token and return 0, or return the seconds until a message of this priority is admitted."""
        if not self._rate:
            return 0.0
        left, then = self._buckets.get(group_id, (self._capacity, now))
        if now < then:  # the clock was set back: keep the tokens, and add to them from now on
            then = now
            self._buckets[group_id] = left, now
        left = min(self._capacity, left + max(0.0, now - then) * self._rate)
        missing = self._reserve(priority) * self._capacity + 1.0 - left
        if missing > 1e-9:
            return missing / self._rate
        if group_id not in self._buckets and len(self._buckets) >= BUCKETS_LIMIT:
            self._forget(now)
        self._buckets[group_id] = left - 1.0, now
        return 0.0

    def _reserve(self, priority: str) -> float:
        return RESERVE[priority]

    def _forget(self, now: float) -> None:
        """Remove the full buckets, or the oldest bucket if none is full."""
        full = [g for g, (left, then) in self._buckets.items() if left + (now - then) * self._rate >= self._capacity]
        for group_id in full or [next(iter(self._buckets))]:
            del self._buckets[group_id]

    def __len__(self) -> int:
        return len(self._buckets)

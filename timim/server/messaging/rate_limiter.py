"""How many messages a group takes: a token bucket each. Under overload likes go first, red packets last.

Pure; the clock is an argument. Invariant: at every moment, what admits a like admits an ordinary message, and what admits
that admits a red packet.
"""

from __future__ import annotations

from collections.abc import Mapping

BUCKETS_LIMIT = 10_000  # groups in memory; a full bucket is as good as none, so those go first

# How much of the bucket must be left over for what matters more. A red packet may take what the next 10 buckets will
# hold: it is never shed at ten times the rate, and a flood that calls itself red packets still ends somewhere.
RESERVE: Mapping[str, float] = {"High": -10.0, "Normal": 0.0, "Low": 0.5, "Lowest": 0.75}


class GroupRateLimiter:
    """`rate` messages a second and group, saved up to `burst_s` seconds; 0: no limit."""

    def __init__(self, rate: float, burst_s: float) -> None:
        self._rate = rate
        self._capacity = max(1.0, rate * burst_s)
        self._buckets: dict[str, tuple[float, float]] = {}  # group → what was left, and when

    def admit(self, group_id: str, priority: str, now: float) -> float:
        """0 and a token taken, or how many seconds until this priority would be admitted."""
        if not self._rate:
            return 0.0
        left, then = self._buckets.get(group_id, (self._capacity, now))
        if now < then:  # the clock was set back: what is left stays, and grows from here on
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
        """Drop the buckets that are full again; when none is, the oldest."""
        full = [g for g, (left, then) in self._buckets.items() if left + (now - then) * self._rate >= self._capacity]
        for group_id in full or [next(iter(self._buckets))]:
            del self._buckets[group_id]

    def __len__(self) -> int:
        return len(self._buckets)

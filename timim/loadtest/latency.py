"""Histogram of times in bounded memory. Each bucket is 2 % wider than the one before: a percentile is at most 2 % too high."""

from __future__ import annotations

import math
from collections.abc import Mapping

WIDTH = math.log(1.02)
MIN_S = 1e-5


class LatencyHistogram:
    """Histogram of durations in seconds: the number of durations in each bucket."""

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self.counts: dict[int, int] = dict(counts or {})  # bucket → count

    def add(self, seconds: float) -> None:
        """Add one duration."""
        bucket = int(math.log(seconds / MIN_S) / WIDTH) + 1 if seconds > MIN_S else 0
        self.counts[bucket] = self.counts.get(bucket, 0) + 1

    def merge(self, counts: Mapping[int, int]) -> None:
        """Add the counts of another histogram."""
        for bucket, count in counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0) + count

    def __len__(self) -> int:
        return sum(self.counts.values())

    def percentile(self, share: float) -> float:
        """Return the seconds within which a share of all times lie, or 0 when there are none; 1.0 gives the longest time."""
        wanted, seen = share * len(self), 0
        for bucket in sorted(self.counts):
            seen += self.counts[bucket]
            if seen >= wanted:
                return MIN_S * math.exp(bucket * WIDTH)
        return 0.0

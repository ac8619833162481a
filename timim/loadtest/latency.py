"""Times in bounded memory: counted in buckets, each 2 % wider than the one before it. A percentile is at most 2 % too high."""

from __future__ import annotations

import math
from collections.abc import Mapping

WIDTH = math.log(1.02)
LEAST_S = 1e-5


class LatencyHistogram:
    """Of any number of times, in seconds."""

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self.counts: dict[int, int] = dict(counts or {})  # bucket → how many

    def add(self, seconds: float) -> None:
        bucket = int(math.log(seconds / LEAST_S) / WIDTH) + 1 if seconds > LEAST_S else 0
        self.counts[bucket] = self.counts.get(bucket, 0) + 1

    def merge(self, counts: Mapping[int, int]) -> None:
        for bucket, count in counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0) + count

    def __len__(self) -> int:
        return sum(self.counts.values())

    def percentile(self, share: float) -> float:
        """Seconds within which this share of them lie; 0 when there are none. 1.0: the longest."""
        wanted, seen = share * len(self), 0
        for bucket in sorted(self.counts):
            seen += self.counts[bucket]
            if seen >= wanted:
                return LEAST_S * math.exp(bucket * WIDTH)
        return 0.0

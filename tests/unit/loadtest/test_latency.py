"""Tests of percentiles computed from counts of latencies."""

from __future__ import annotations

from timim.loadtest.latency import LatencyHistogram


def test_percentiles_are_at_most_2_percent_too_high() -> None:
    some, more = LatencyHistogram(), LatencyHistogram()
    for n in range(1, 1001):
        (some if n % 2 else more).add(n / 1000)
    some.merge(more.counts)
    assert len(some) == 1000
    for share in (0.01, 0.5, 0.99, 1.0):
        assert share <= some.percentile(share) <= share * 1.021
    assert LatencyHistogram().percentile(0.5) == 0

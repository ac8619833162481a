"""Tests of the token bucket of a group: likes are refused first, red packets never."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest

from timim import Priority
from timim.server.messaging.rate_limiter import BUCKETS_LIMIT, RESERVE, GroupRateLimiter

ORDER = ("High", "Normal", "Low", "Lowest")


def promise(make: Callable[[float, float], GroupRateLimiter]) -> None:
    """Check a group that accepts 10 messages a second and gets 100 a second for a minute, 5 of them red packets."""
    for seed in range(5):
        rates = make(10.0, 2.0)
        came = random.Random(seed).choices(ORDER, (5, 32, 32, 31), k=6000)
        taken = Counter(kind for n, kind in enumerate(came) if not rates.admit("g", kind, n / 100))
        assert taken["High"] == came.count("High"), (seed, taken)
        assert taken["Normal"] > taken["Low"] >= taken["Lowest"], (seed, taken)
        assert taken.total() <= 60 * 10 + 20, (seed, taken)


class Unfair(GroupRateLimiter):
    """A mutant without reserves for higher priorities."""

    def _reserve(self, priority: str) -> float:
        return 0.0


@pytest.mark.requirement("R20")
def test_overload_sheds_likes_first_and_red_packets_never() -> None:
    promise(GroupRateLimiter)
    with pytest.raises(AssertionError):
        promise(Unfair)


def test_a_bucket_that_admits_a_like_admits_each_higher_priority() -> None:
    assert [RESERVE[kind] for kind in ORDER] == sorted(RESERVE.values())
    assert list(ORDER) == [priority.value for priority in Priority]


def test_retry_after_is_exact_and_quiet_groups_are_forgotten() -> None:
    rates = GroupRateLimiter(10.0, 1.0)
    while not (wait := rates.admit("g", "Normal", 5.0)):
        pass
    assert rates.admit("g", "Normal", 5.0 + wait * 0.99) > 0
    assert rates.admit("g", "Normal", 5.0 + wait) == 0
    assert rates.admit("g", "Normal", -86_400.0) > 0  # the clock was set back by a day
    assert rates.admit("g", "Normal", -86_400.0 + wait) == 0
    for n in range(BUCKETS_LIMIT + 10):
        rates.admit(f"g{n}", "Normal", 100.0 + n)
    assert len(rates) <= BUCKETS_LIMIT
    assert all(GroupRateLimiter(0, 1).admit("g", "Low", 0.0) == 0 for _ in range(1000))

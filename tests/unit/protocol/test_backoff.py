"""Tests of full jitter: each wait is between 0 and a bound that doubles with each failure."""

from __future__ import annotations

from random import Random

import pytest

from timim.protocol.backoff import Backoff


class Highest(Random):
    """A random generator that returns the upper end of each range."""

    def uniform(self, a: float, b: float) -> float:
        return b


@pytest.mark.parametrize("failures, longest", [(0, 0.25), (1, 0.5), (2, 1.0), (6, 16.0), (7, 30.0), (1000, 30.0)])
def test_the_longest_wait_doubles_up_to_the_limit(failures: int, longest: float) -> None:
    assert Backoff().wait_s(failures, Highest()) == longest


def test_waits_are_spread_over_the_whole_range() -> None:
    waits = [Backoff(first_s=1, limit_s=8).wait_s(3, Random(seed)) for seed in range(1000)]
    assert 0 <= min(waits) < 0.1
    assert 7.9 < max(waits) <= 8
    assert 3.7 < sum(waits) / len(waits) < 4.3


def test_the_same_randomness_gives_the_same_wait() -> None:
    assert Backoff().wait_s(5, Random(7)) == Backoff().wait_s(5, Random(7))

"""Tests of the verdict on a curve of `make bench-growth`: its slope on logarithmic axes."""

from __future__ import annotations

import pytest

from bench.growth import FLAT, LINEAR, Curve, powers_of_ten


@pytest.mark.parametrize(
    "limit, power, too_steep",
    [(FLAT, 0.0, False), (FLAT, 0.2, False), (FLAT, 1.0, True), (LINEAR, 1.0, False), (LINEAR, 2.0, True)],
)
def test_a_curve_that_is_steeper_than_its_limit_is_reported(limit: float, power: float, too_steep: bool) -> None:
    curve = Curve("send", limit, points={size: 3 * size**power for size in powers_of_ten(10, 5000)})
    assert curve.slope == pytest.approx(power)
    assert curve.is_too_steep == too_steep


def test_sizes_end_with_the_last_one() -> None:
    assert powers_of_ten(10, 5000) == [10, 100, 1000, 5000]
    assert powers_of_ten(1000, 1_000_000) == [1000, 10_000, 100_000, 1_000_000]

"""Tests of the clocks that a test sets."""

from __future__ import annotations

import pytest

from timim.testing import VirtualClock


def test_a_loop_clock_cannot_go_back() -> None:
    with pytest.raises(ValueError, match="forward only"):
        VirtualClock().advance(-1)

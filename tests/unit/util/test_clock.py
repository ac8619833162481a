"""Tests of the wall clock whose offset is read from a file."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from timim.testing import WallClock
from timim.util.clock import OFFSET, clock_from_file


def test_without_a_file_the_clock_is_the_machines() -> None:
    assert clock_from_file("") is time.time


@pytest.mark.parametrize("offset_s", [0.0, -86_400.0, 3600.5])
def test_the_clock_has_the_offset_in_its_file(offset_s: float, tmp_path: Path) -> None:
    path = tmp_path / "clock"
    path.write_bytes(OFFSET.pack(offset_s))
    assert clock_from_file(str(path))() - time.time() == pytest.approx(offset_s, abs=1)


def test_the_clock_follows_a_jump_of_the_shared_one(tmp_path: Path) -> None:
    shared = WallClock()
    shared.share(tmp_path / "clock")
    now = clock_from_file(str(tmp_path / "clock"))
    shared.jump(-3600)
    assert now() - time.time() == pytest.approx(-3600, abs=1)
    shared.set(0)
    assert now() - time.time() == pytest.approx(0, abs=1)

"""Tests of the durations read from the files of sounds and videos."""

from __future__ import annotations

import logging
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import image_factory
from tests.support.sound_factory import SOUNDS, mp4, wav
from timim.media_tools.duration import checked_duration, read_duration_s


@pytest.mark.parametrize("kind", SOUNDS)
@pytest.mark.requirement("F09")
def test_the_duration_is_read_from_each_format(kind: str, tmp_path: Path) -> None:
    assert read_duration_s(SOUNDS[kind]) == pytest.approx(7.2, abs=0.1)
    path = tmp_path / "a sound without a suffix"
    path.write_bytes(SOUNDS[kind])
    assert read_duration_s(path) == pytest.approx(7.2, abs=0.1)


SILENT = [
    b"",
    b"x",
    b"RIFF",
    b"\xff\xf1" * 50,
    b"#!AMR\n",
    b"OggS",
    bytes(1000),
    image_factory.encoded(image_factory.quarters(9, 9), "PNG"),
]


@pytest.mark.parametrize("data", [*SILENT, mp4(2**32 / 1000 - 1, b"isom")[:40]])
@pytest.mark.requirement("F09")
def test_a_file_without_a_length_has_no_duration(data: bytes) -> None:
    assert read_duration_s(data) is None
    assert read_duration_s(Path("/nowhere/at/all.wav")) is None


@pytest.mark.parametrize(
    "given, sent",
    [(0, 7), (7, 7), (8, 8), (6, 6), (1, 7), (60, 7), (7200, 7)],
)
@pytest.mark.requirement("F09")
async def test_a_missing_duration_is_filled_in_and_a_wrong_one_corrected(
    given: int, sent: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "timim.media_tools.duration"):
        assert await checked_duration(SOUNDS["WAV"], given) == sent
    assert bool(caplog.records) == (given not in (0, sent))


@pytest.mark.requirement("F09")
async def test_a_duration_that_the_file_does_not_contradict_stays_as_given() -> None:
    assert await checked_duration(b"of a kind of our own", 42) == 42
    assert await checked_duration(b"of a kind of our own", 0) == 0
    assert await checked_duration(wav(0.2), 0) == 1  # a sound is shown with at least one second


@given(st.sampled_from(sorted(SOUNDS)), st.integers(0, 2**32))
@pytest.mark.requirement("F09")
def test_no_bytes_make_reading_the_duration_fail(kind: str, seed: int) -> None:
    found = read_duration_s(image_factory.harmed(random.Random(seed), SOUNDS[kind]))
    assert found is None or 0 < found < 2**31

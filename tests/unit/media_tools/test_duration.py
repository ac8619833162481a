"""Tests of the durations read from the files of sounds and videos."""

from __future__ import annotations

import logging
import random
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import image_factory
from tests.support.sound_factory import SOUNDS, adts, amr, box, flac, fragmented_mp4, mp3, mp4, variable_mp3, wav
from timim.media_tools.duration import checked_duration, read_duration


@pytest.mark.parametrize("kind", SOUNDS)
@pytest.mark.requirement("F09")
def test_the_duration_is_read_from_each_format(kind: str, tmp_path: Path) -> None:
    found = read_duration(SOUNDS[kind])
    assert found is not None
    assert found.seconds == pytest.approx(7.2, abs=0.1)
    path = tmp_path / "a sound without a suffix"
    path.write_bytes(SOUNDS[kind])
    assert read_duration(path) == found


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
    assert read_duration(data) is None
    assert read_duration(Path("/nowhere/at/all.wav")) is None


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
    found = read_duration(image_factory.harmed(random.Random(seed), SOUNDS[kind]))
    assert found is None or 0 < found.seconds < 2**31


def wav_of_a_pipe(announced: int, seconds: float) -> bytes:
    """Return a WAV whose header was written before its size was known."""
    data = wav(seconds)
    return data[:40] + struct.pack("<I", announced) + data[44:]


def mvhd(scale: int, duration: int) -> bytes:
    """Return an MP4 of 5 KB whose header has this time scale and duration."""
    times = struct.pack(">IIIII", 0, 0, 0, scale, duration)
    return box(b"ftyp", b"isom") + box(b"moov", box(b"mvhd", times, bytes(80))) + box(b"mdat", bytes(5000))


ID3 = b"ID3\4\0\0\0\0\x10\0" + b"\xff\xfb\x90\0".ljust(0x800, b"\xff")  # a tag that contains what looks like frames
RIGHT = {  # content, and the duration that it has
    "WAV of a pipe, ffffffff": (wav_of_a_pipe(0xFFFFFFFF, 10), 10),
    "WAV of a pipe, 7ffff000": (wav_of_a_pipe(0x7FFFF000, 10), 10),
    "WAV of a pipe, 0": (wav_of_a_pipe(0, 10), 10),
    "WAV, cut": (wav(10)[:32_044], 2),
    "MP3 of variable rate": (variable_mp3(383), 10),
    "MP3 of variable rate, with a tag": (ID3 + variable_mp3(383) + b"TAG".ljust(128, b"\0"), 10),
    "MP3 of constant rate": (mp3(10), 10),
    "MP3, cut": (mp3(10)[: 417 * 77], 2),
    "MP3 with garbage between the frames": (mp3(5) + bytes(700) + mp3(5), 10),
    "AAC with a tag": (ID3 + adts(10), 10),
    "AAC, cut": (adts(10)[:8_600], 2),
    "AMR": (amr(10), 10),
    "MP4": (mp4(10, b"isom"), 10),
}
KEPT = {  # content whose duration is not known, or not surely
    "MP4 in fragments": fragmented_mp4(header_seconds=0),
    "MP4 in fragments, of which the header counts the first": fragmented_mp4(header_seconds=1),
    "MP4, cut": mp4(60, b"isom")[:-1000],
    "MP4 of unknown duration": mvhd(48_000, 0xFFFFFFFF),
    "MP4 without a time scale": mvhd(0, 10),
    "MP4 of 5 KB that claims 8 hours": mvhd(1, 30_000),
    "MP3 of a rate that the header does not tell": b"\xff\xfb\x00\x00" * 1000,
    "noise with a few frames": mp3(1) + b"\xff\xfb" * 100_000,
    "FLAC, cut": flac(60),
}


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.requirement("F09")
async def test_the_right_duration_stays_a_missing_one_is_filled_in_and_a_wrong_one_corrected(name: str) -> None:
    data, seconds = RIGHT[name]
    assert await checked_duration(data, seconds) == seconds
    assert await checked_duration(data, 0) == seconds
    assert await checked_duration(data, 77) == seconds


@pytest.mark.parametrize("name", KEPT)
@pytest.mark.parametrize("given", [3, 77])
@pytest.mark.requirement("F09")
async def test_a_duration_stays_as_given_if_the_content_does_not_surely_tell_it(name: str, given: int) -> None:
    assert await checked_duration(KEPT[name], given) == given


@pytest.mark.requirement("F09")
def test_a_sound_of_more_bytes_than_are_counted_has_an_estimate() -> None:
    found = read_duration(mp3(60 * 60))
    assert found is not None
    assert found.seconds == pytest.approx(3600, abs=1)
    assert not found.sure

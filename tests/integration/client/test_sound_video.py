"""Sound and film (F09, F18): how long they are, by their own word, and their way there and back."""

from __future__ import annotations

import io
import logging
import math
import random
import struct
import wave
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import image_factory
from tests.support.paths import MEDIA
from timim import SoundElem, VideoElem
from timim.media_tools.duration import checked_duration, read_duration_s
from timim.testing import EventRecorder, running_server


def wav(seconds: float, rate: int = 8000) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(b"\0\0" * int(seconds * rate))
    return out.getvalue()


def amr(seconds: float, *, wide: bool = False) -> bytes:
    """Frames of 20 ms in the highest mode of each kind."""
    magic, mode, size = (b"#!AMR-WB\n", 8, 61) if wide else (b"#!AMR\n", 7, 32)
    return magic + (bytes([mode << 3 | 4]) + bytes(size - 1)) * int(seconds * 50)


def adts(seconds: float, rate_index: int = 4) -> bytes:
    """AAC frames of 1024 samples at 44,100 Hz."""
    size = 100
    head = bytes([0xFF, 0xF1, 0x40 | rate_index << 2, 0x40 | size >> 11, size >> 3 & 255, (size & 7) << 5 | 0x1F, 0xFC])
    return (head + bytes(size - 7)) * math.ceil(seconds * 44100 / 1024)


def mp3(seconds: float) -> bytes:
    """MPEG 1 layer III, 128 kbit/s, 44,100 Hz: frames of 417 bytes and 1152 samples."""
    return (b"\xff\xfb\x90\x00" + bytes(413)) * math.ceil(seconds * 44100 / 1152)


def box(kind: bytes, *inside: bytes) -> bytes:
    body = b"".join(inside)
    return struct.pack(">I4s", len(body) + 8, kind) + body


def mp4(seconds: float, brand: bytes, *, film_first: bool = False) -> bytes:
    times = struct.pack(">IIIII", 0, 0, 0, 1000, int(seconds * 1000))
    moov = box(b"moov", box(b"mvhd", times, bytes(80)))
    mdat = box(b"mdat", bytes(5000))
    return box(b"ftyp", brand, bytes(4), brand) + (mdat + moov if film_first else moov + mdat)


def ogg(seconds: float) -> bytes:
    """A Vorbis stream's first page, which says the rate, and its last, which says how many samples there were."""

    def page(kind: int, granule: int, number: int, body: bytes) -> bytes:
        head = b"OggS" + struct.pack("<BBqIII", 0, kind, granule, 7, number, 0)
        return head + bytes([1, len(body)]) + body

    first = b"\x01vorbis" + struct.pack("<IBIiiiBB", 0, 1, 44100, 0, 80000, 0, 0xB8, 1)
    return page(2, 0, 0, first) + page(4, int(seconds * 44100), 1, bytes(200))


SOUNDS = {
    "WAV": wav(7.2),
    "AMR": amr(7.2),
    "AMR-WB": amr(7.2, wide=True),
    "AAC": adts(7.2),
    "MP3": mp3(7.2),
    "M4A": mp4(7.2, b"M4A "),
    "MP4": mp4(7.2, b"isom"),
    "MOV": mp4(7.2, b"qt  "),
    "3GP": mp4(7.2, b"3gp4"),
    "MP4, its table last": mp4(7.2, b"mp42", film_first=True),
    "OGG": ogg(7.2),
}


@pytest.mark.parametrize("kind", SOUNDS)
@pytest.mark.requirement("F09")
def test_a_file_says_how_long_it_is(kind: str, tmp_path: Path) -> None:
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
    assert await checked_duration(wav(0.2), 0) == 1  # nobody is shown a sound of no length


@given(st.sampled_from(sorted(SOUNDS)), st.integers(0, 2**32))
@pytest.mark.requirement("F09")
def test_no_bytes_make_reading_the_duration_fail(kind: str, seed: int) -> None:
    found = read_duration_s(image_factory.harmed(random.Random(seed), SOUNDS[kind]))
    assert found is None or 0 < found < 2**31


@pytest.mark.requirement("F09")
async def test_sound_and_film_arrive_with_the_length_they_have(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(SOUNDS["MP4"])
    still = image_factory.encoded(image_factory.quarters(640, 360), "JPEG")
    async with running_server() as server, server.client("alice") as alice, server.client("bob") as bob:
        watch = EventRecorder(bob)
        await alice.c2c("bob").send(SoundElem(path=MEDIA / "hello-zh.wav"))
        sound = (await watch.wait_for_message(lambda m: isinstance(m[0], SoundElem)))[0]
        await alice.c2c("bob").send(VideoElem(path=film, snapshot=still))
        video = (await watch.wait_for_message(lambda m: isinstance(m[0], VideoElem)))[0]
        assert isinstance(sound, SoundElem)
        assert isinstance(video, VideoElem)
        assert (sound.duration, video.duration) == (7, 7)
        assert (video.format, video.snapshot_width, video.snapshot_height) == ("mp4", 640, 360)
        assert await video.read_snapshot() == still
        assert await video.read() == SOUNDS["MP4"]
        assert await sound.read() == (MEDIA / "hello-zh.wav").read_bytes()

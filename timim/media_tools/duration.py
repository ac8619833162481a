"""The duration of a sound or a film according to its header.

Invariant: content that cannot be read has no duration and can still be sent, because sounds of any format are allowed.
"""

from __future__ import annotations

import asyncio
import logging
import math
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final

log = logging.getLogger(__name__)

_LONGEST_S: Final = 2**31 - 1  # the elem's limit; a header with more is damaged
_SLACK_S = 1.0  # callers round in different ways, and recorders stop their clocks late
_SLACK_SHARE = 0.1
_SCAN_BYTES = 28 * 2**20  # the size limit of a sound, for formats whose frames have to be counted

_AMR_BYTES: Final = {  # size of a frame of 20 ms by its mode, including the byte before it
    b"#!AMR\n": (13, 14, 16, 18, 20, 21, 27, 32, 6, 6, 6, 6, 1, 1, 1, 1),
    b"#!AMR-WB\n": (18, 24, 33, 37, 41, 47, 51, 59, 61, 6, 6, 6, 6, 6, 1, 1),
}
_AMR_FRAMES_PER_S = 50
_AAC_RATES: Final = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_AAC_SAMPLES = 1024  # of a block; a frame has 1 to 4 blocks


async def checked_duration(source: Path | bytes, given: int) -> int:
    """Return the duration to send, in whole seconds: `given`, unless it is 0 or contradicts the content."""
    found = await asyncio.to_thread(read_duration_s, source)
    if found is None:
        return given
    if given and abs(given - found) <= _SLACK_S + found * _SLACK_SHARE:
        return given
    seconds = max(1, math.floor(found + 0.5))
    if given:
        log.warning("the given duration of %d s is wrong; sending the content's duration of %.1f s", given, found)
    return seconds


def read_duration_s(source: Path | bytes) -> float | None:
    """Return the duration of content in seconds; None if it is unknown, damaged, or cannot be read."""
    try:
        with BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
            found = _duration(file)
    except OSError:
        return None  # the upload raises the error
    return found if found and math.isfinite(found) and 0 < found <= _LONGEST_S else None


def _duration(file: BinaryIO) -> float | None:
    head = file.read(16)
    file.seek(0)
    for magic, sizes in _AMR_BYTES.items():
        if head.startswith(magic):
            return _amr(file.read(_SCAN_BYTES), len(magic), sizes)
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return _adts(file.read(_SCAN_BYTES))
    return _tagged(file)


def _tagged(file: BinaryIO) -> float | None:
    """Return the duration of WAV, MP3, MP4, OGG and FLAC, which tinytag recognizes by their first bytes."""
    from tinytag import TinyTag

    try:
        return TinyTag.get(file_obj=file, tags=False, image=False).duration
    except Exception:  # noqa: BLE001 - tinytag raises KeyError, struct.error and others for damaged bytes
        return None


def _amr(data: bytes, pos: int, sizes: tuple[int, ...]) -> float:
    frames = 0
    while pos < len(data):
        pos += sizes[data[pos] >> 3 & 15]
        frames += 1
    return frames / _AMR_FRAMES_PER_S


def _adts(data: bytes) -> float | None:
    """Return the sum of the frames of raw AAC; each frame has its length, its rate and its number of blocks."""
    pos, seconds = 0, 0.0
    while pos + 7 <= len(data) and data[pos] == 0xFF and data[pos + 1] & 0xF6 == 0xF0:
        rate = data[pos + 2] >> 2 & 15
        size = (data[pos + 3] & 3) << 11 | data[pos + 4] << 3 | data[pos + 5] >> 5
        if rate >= len(_AAC_RATES) or size < 7:
            return None
        seconds += _AAC_SAMPLES * ((data[pos + 6] & 3) + 1) / _AAC_RATES[rate]
        pos += size
    return seconds

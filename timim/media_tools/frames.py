"""Counting of the frames of AMR, AAC and MPEG audio, whose files have no header that says how long they are.

Invariant: every frame is found by the length of the one before it. A header that estimates the duration is not used, so that
a cut file, and one of variable bit rates, have the duration of what is there.
"""

from __future__ import annotations

from typing import Final, NamedTuple

AMR_BYTES: Final = {  # size of a frame of 20 ms by its mode, including the byte before it
    b"#!AMR\n": (13, 14, 16, 18, 20, 21, 27, 32, 6, 6, 6, 6, 1, 1, 1, 1),
    b"#!AMR-WB\n": (18, 24, 33, 37, 41, 47, 51, 59, 61, 6, 6, 6, 6, 6, 1, 1),
}
_AMR_FRAMES_PER_S = 50
_AAC_RATES: Final = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_AAC_SAMPLES = 1024  # of a block; a frame has 1 to 4 blocks
_LAYER_2_1: Final = (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384)
_LAYER_3_1: Final = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_LAYER_1_2: Final = (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256)
_LAYERS_2_2: Final = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_KBITS: Final = {  # kbit/s of an MPEG frame, by whether it is MPEG 1 and by its layer
    (True, 1): tuple(32 * index for index in range(15)),
    (True, 2): _LAYER_2_1,
    (True, 3): _LAYER_3_1,
    (False, 1): _LAYER_1_2,
    (False, 2): _LAYERS_2_2,
    (False, 3): _LAYERS_2_2,
}
_MPEG_RATES: Final = (44100, 48000, 32000)  # of MPEG 1; halves and quarters of MPEG 2 and 2.5
_SKIPPED_SHARE = 0.1  # of the bytes; a file with more between its frames is damaged, or of another kind
_SEARCHES = 1000  # for the next frame, each through the rest of the file


class Counted(NamedTuple):
    """Duration of the frames that were found; `sure` if nearly all bytes belong to frames."""

    seconds: float
    sure: bool


class _Frame(NamedTuple):
    size: int
    seconds: float


def count_amr(data: bytes, magic: bytes) -> Counted:
    """Return the duration of AMR after its magic."""
    sizes, frames, pos = AMR_BYTES[magic], 0, len(magic)
    while pos < len(data):
        pos += sizes[data[pos] >> 3 & 15]
        frames += 1
    return Counted(frames / _AMR_FRAMES_PER_S, True)


def count_mpeg(data: bytes, pos: int) -> Counted | None:
    """Return the duration of raw AAC, or of MPEG audio of any layer, from `pos` on; None if there is no frame."""
    read = _aac_frame if data[pos + 1 : pos + 2] and data[pos + 1] & 0x06 == 0 else _mpeg_frame
    seconds, found, skipped, searches, kind = 0.0, 0, 0, 0, data[pos : pos + 2]
    while pos + 7 <= len(data):
        frame = read(data, pos)
        if frame is not None and data[pos : pos + 2] == kind:
            seconds, found, pos = seconds + frame.seconds, found + frame.size, pos + frame.size
            continue
        following = data.find(kind, pos + 1)  # frames of one file begin with the same two bytes
        searches += 1
        if following < 0 or searches > _SEARCHES:
            skipped += len(data) - pos if searches > _SEARCHES else 0  # else a tag at the end
            break
        skipped, pos = skipped + following - pos, following
    return Counted(seconds, skipped <= found * _SKIPPED_SHARE) if seconds else None


def _aac_frame(data: bytes, pos: int) -> _Frame | None:
    rate = data[pos + 2] >> 2 & 15
    size = (data[pos + 3] & 3) << 11 | data[pos + 4] << 3 | data[pos + 5] >> 5
    if data[pos] != 0xFF or data[pos + 1] & 0xF6 != 0xF0 or rate >= len(_AAC_RATES) or size < 7:
        return None
    return _Frame(size, _AAC_SAMPLES * ((data[pos + 6] & 3) + 1) / _AAC_RATES[rate])


def _mpeg_frame(data: bytes, pos: int) -> _Frame | None:
    version, layer = data[pos + 1] >> 3 & 3, 4 - (data[pos + 1] >> 1 & 3)
    speed, rate_index, padding = data[pos + 2] >> 4, data[pos + 2] >> 2 & 3, data[pos + 2] >> 1 & 1
    if data[pos] != 0xFF or data[pos + 1] & 0xE0 != 0xE0 or version == 1 or layer == 4 or rate_index == 3:
        return None
    if not 0 < speed < 15:  # 0 is a rate that the header does not tell
        return None
    rate = _MPEG_RATES[rate_index] // {3: 1, 2: 2, 0: 4}[version]
    bits_per_s = _KBITS[version == 3, layer][speed] * 1000
    if layer == 1:
        return _Frame((12 * bits_per_s // rate + padding) * 4, 384 / rate)
    samples = 576 if layer == 3 and version != 3 else 1152
    return _Frame(samples // 8 * bits_per_s // rate + padding, samples / rate)

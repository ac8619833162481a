"""The duration of a sound or a film according to its content.

Invariants: content that cannot be read has no duration and can still be sent, because sounds of any format are allowed. A
duration that the sender gave is corrected only by one that is sure: counted, or a header's that the size of the file bears out.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import struct
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from .frames import AMR_BYTES, Counted, count_amr, count_mpeg

log = logging.getLogger(__name__)

_LONGEST_S: Final = 2**31 - 1  # the elem's limit; a header with more is damaged
_SLACK_S = 1.0  # callers round in different ways, and recorders stop their clocks late
_SLACK_SHARE = 0.1
_SCAN_BYTES = 28 * 2**20  # the size limit of a sound, for formats whose frames have to be counted
_LEAST_BYTES_PER_S = 20  # silence takes 30 to 50 in AMR and Opus; a header that promises less is wrong
_BOXES = 1000  # of an MP4 file without fragments; recorders write ten
_FILM_BOXES: Final = frozenset(b"ftyp styp moov mdat free skip wide pnot".split())  # the first box of a film is one of them


async def checked_duration(source: Path | bytes, given: int) -> int:
    """Return the duration to send, in whole seconds: `given`, unless it is 0 or surely contradicts the content."""
    found = await asyncio.to_thread(read_duration, source)
    if found is None or (given and not found.sure):
        return given
    if given and abs(given - found.seconds) <= _SLACK_S + found.seconds * _SLACK_SHARE:
        return given
    seconds = max(1, math.floor(found.seconds + 0.5))
    if given:
        log.warning("the given duration of %d s is wrong; sending the content's duration of %.1f s", given, found.seconds)
    return seconds


def read_duration(source: Path | bytes) -> Counted | None:
    """Return the duration of content; None if it is unknown, damaged, absurd, or cannot be read."""
    try:
        with BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            found = _duration(file, size)
    except OSError:
        return None  # the upload raises the error
    return found if found and math.isfinite(found.seconds) and 0 < found.seconds <= _LONGEST_S else None


def _duration(file: BinaryIO, size: int) -> Counted | None:
    head = file.read(16)
    file.seek(0)
    if magic := next(filter(head.startswith, AMR_BYTES), None):
        return _of_all(count_amr(file.read(_SCAN_BYTES), magic), size)
    if head[:3] == b"ID3" or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0):
        data = file.read(_SCAN_BYTES)
        counted = count_mpeg(data, _end_of_id3(data))
        return _of_all(counted, size) if counted else None
    found = _film(file, size) if head[4:8] in _FILM_BOXES else _tagged(file, size)
    return found if found and found.seconds * _LEAST_BYTES_PER_S <= size else None


def _of_all(counted: Counted, size: int) -> Counted:
    """Return an estimate for the whole file if only its beginning was counted."""
    return counted if size <= _SCAN_BYTES else Counted(counted.seconds * size / _SCAN_BYTES, False)


def _end_of_id3(data: bytes) -> int:
    """Return the position after the tags at the beginning; the size of a tag has 7 bits in each byte."""
    pos = 0
    while data[pos : pos + 3] == b"ID3" and pos + 10 <= len(data):
        a, b, c, d = data[pos + 6 : pos + 10]
        pos += 10 + (a << 21 | b << 14 | c << 7 | d)
    while pos < len(data) and data[pos] == 0:  # padding that the tag's size does not count
        pos += 1
    return pos


def _tagged(file: BinaryIO, size: int) -> Counted | None:
    """Return the duration of WAV, OGG, FLAC and others, which tinytag recognizes by their first bytes."""
    from tinytag import TinyTag

    try:
        tag = TinyTag.get(file_obj=file, tags=False, image=False)
    except Exception:  # noqa: BLE001 - tinytag raises KeyError, struct.error and others for damaged bytes
        return None
    seconds = tag.duration or 0.0
    if tag.mime_type and tag.mime_type.startswith(("audio/wav", "audio/aiff")) and tag.bitrate:
        there = size / (tag.bitrate * 125)  # kbit/s; a program that writes to a pipe does not know the size beforehand
        seconds = min(seconds or there, there)
    return Counted(seconds, tag.mime_type != "audio/flac")  # the header of FLAC stays the same if the file is cut


class _Box(NamedTuple):
    kind: bytes
    begin: int  # of the content
    end: int


def _boxes(file: BinaryIO, pos: int, end: int) -> Iterator[_Box]:
    """Yield the boxes of an MP4 file between two positions; the last one may end later than `end`."""
    for _ in range(_BOXES):
        file.seek(pos)
        head = file.read(16)
        if pos + 8 > end or len(head) < 8:
            return
        size, kind, begin = int.from_bytes(head[:4], "big"), head[4:8], pos + 8
        if size == 1 and len(head) == 16:
            size, begin = int.from_bytes(head[8:], "big"), pos + 16
        after = end if size == 0 else pos + size
        if after < begin:
            return
        yield _Box(kind, begin, after)
        pos = after


def _film(file: BinaryIO, size: int) -> Counted | None:
    """Return the duration of MP4, M4A, MOV and 3GP. It is None for fragments, and not sure if the file is cut."""
    seconds, sure = 0.0, True
    for box in _boxes(file, 0, size):
        sure = sure and box.end <= size
        if box.kind == b"moof":
            return None
        if box.kind == b"moov":
            for part in _boxes(file, box.begin, min(box.end, size)):
                if part.kind == b"mvex":
                    return None
                if part.kind == b"mvhd":
                    file.seek(part.begin)
                    seconds = _header_seconds(file.read(32))
    return Counted(seconds, sure)


def _header_seconds(header: bytes) -> float:
    """Return the duration in a `mvhd` box, in seconds; 0 if it is unknown."""
    form, begin, unknown = (">IQ", 20, 2**64 - 1) if header[:1] == b"\1" else (">II", 12, 2**32 - 1)
    if len(header) < begin + struct.calcsize(form):
        return 0.0
    scale, duration = struct.unpack_from(form, header, begin)
    return duration / scale if scale and duration != unknown else 0.0

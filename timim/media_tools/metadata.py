"""Removal of metadata from picture files: location, time, author, camera.

Invariant: the coded pixels are copied without re-encoding. Only parts that are needed to show the picture are kept, so that
unknown parts cannot leak data. Of EXIF, only the orientation is kept, in a new block.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import Final

from ..errors import MediaError, NotAnImage
from .formats import DAMAGED, open_picture
from .resize import exif_orientation

_SHOWN_PNG: Final = frozenset(
    b"IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB iCCP sBIT bKGD pHYs cICP mDCV cLLI acTL fcTL fdAT".split()
)
_SHOWN_WEBP: Final = frozenset((b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF", b"ICCP"))
_ALONE: Final = frozenset((0x01, *range(0xD0, 0xD8)))  # JPEG markers without a length
_WEBP_EXIF, _WEBP_XMP = 0x08, 0x04  # flags of VP8X


def strip_metadata(data: bytes) -> bytes:
    """Return the picture without its metadata.

    Raises:
        MediaError: The format is not JPEG, PNG or WebP.
        NotAnImage: The content is not a picture, or is damaged.
    """
    im, form = open_picture(data)
    turn = exif_orientation(im)
    try:
        match form:
            case "JPEG":
                made = b"".join(_strip_jpeg(data, turn))
            case "PNG":
                made = b"".join(_strip_png(data, turn))
            case "WEBP":
                made = _strip_webp(data, turn)
            case _:
                raise MediaError(f"metadata cannot be removed from {form}; send a JPEG, PNG or WebP")
    except (IndexError, struct.error) as exc:
        raise NotAnImage(DAMAGED) from exc
    open_picture(made)
    return made


def _orientation_exif(turn: int) -> bytes:
    """Return EXIF with only the orientation of the picture; empty if the picture is upright."""
    return b"" if turn == 1 else b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, turn, 0, 0)


def _strip_jpeg(data: bytes, turn: int) -> Iterator[bytes]:
    """Yield the parts of the first picture only; later pictures of the file may be hidden and have their own metadata."""
    yield b"\xff\xd8"
    if exif := _orientation_exif(turn):
        yield b"\xff\xe1" + struct.pack(">H", len(exif) + 8) + b"Exif\0\0" + exif
    pos = 2
    while True:
        while data[pos] != 0xFF:  # stray bytes between segments, which decoders skip
            pos += 1
        while data[pos] == 0xFF:
            pos += 1
        marker, pos = data[pos], pos + 1
        if marker == 0xD9:
            yield b"\xff\xd9"
            return
        if marker == 0 or marker in _ALONE:
            continue
        end = pos + struct.unpack_from(">H", data, pos)[0]
        if end < pos + 2 or end > len(data):
            raise NotAnImage(DAMAGED)
        if _is_needed_segment(marker, data[pos + 2 : pos + 16]):
            yield bytes((0xFF, marker)) + data[pos:end]
        pos = end
        if marker == 0xDA:
            pos = _scan_end(data, end)
            yield data[end:pos]


def _is_needed_segment(marker: int, head: bytes) -> bool:
    match marker:
        case 0xE0:
            return head.startswith(b"JFIF\0")  # JFXX has a thumbnail
        case 0xE2:
            return head.startswith(b"ICC_PROFILE\0")
        case 0xEE:
            return head.startswith(b"Adobe")  # defines the meaning of CMYK values
        case _:
            return not (0xE0 <= marker <= 0xEF or marker == 0xFE)


def _scan_end(data: bytes, pos: int) -> int:
    """Return the end of the coded pixels, which is the next marker except stuffed bytes and restarts."""
    while True:
        pos = data.find(b"\xff", pos)
        if pos < 0 or pos + 1 >= len(data):
            raise NotAnImage(DAMAGED)
        following = data[pos + 1]
        if following == 0xFF:
            pos += 1
        elif following == 0 or following in _ALONE:
            pos += 2
        else:
            return pos


def _strip_png(data: bytes, turn: int) -> Iterator[bytes]:
    yield data[:8]
    pos = 8
    while True:
        size, kind = struct.unpack_from(">I4s", data, pos)
        end = pos + 12 + size
        if end > len(data):
            raise NotAnImage(DAMAGED)
        if kind in _SHOWN_PNG:
            yield data[pos:end]
        if kind == b"IHDR" and (exif := _orientation_exif(turn)):
            body = b"eXIf" + exif
            yield struct.pack(">I", len(exif)) + body + struct.pack(">I", zlib.crc32(body))
        if kind == b"IEND":
            return
        pos = end


def _strip_webp(data: bytes, turn: int) -> bytes:
    out, pos, exif = BytesIO(), 12, _orientation_exif(turn)
    end_of_file = min(len(data), 8 + struct.unpack_from("<I", data, 4)[0])
    while pos + 8 <= end_of_file:
        kind, size = struct.unpack_from("<4sI", data, pos)
        end = pos + 8 + size + (size & 1)
        if pos + 8 + size > len(data):
            raise NotAnImage(DAMAGED)
        chunk = bytearray(data[pos:end])
        if kind == b"VP8X":
            chunk[8] = chunk[8] & ~(_WEBP_EXIF | _WEBP_XMP) | (_WEBP_EXIF if exif else 0)
        if kind in _SHOWN_WEBP:
            out.write(chunk.ljust(8 + size + (size & 1), b"\0"))
        pos = end
    if exif:  # only an extended file with VP8X can have an orientation
        out.write(b"EXIF" + struct.pack("<I", len(exif)) + exif + b"\0" * (len(exif) & 1))
    body = out.getvalue()
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body

"""A picture's file: its kind by its first bytes, and its header, read under the limits.

Invariant: nothing is decoded here, and Pillow opens the formats of the table FORMATS only.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..errors import FileMissing, MediaError, NotAnImage, TooLarge

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

MAX_SCANS = 500  # of a progressive JPEG: cameras write 10, and each costs a pass over the whole picture

FORMATS: Final = {  # the allow-list: Pillow opens no other
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/gif": "GIF",
    "image/webp": "WEBP",
    "image/bmp": "BMP",
    "image/tiff": "TIFF",
    "image/avif": "AVIF",
    "image/heic": "HEIF",
}
_KINDS: Final = frozenset(FORMATS) | frozenset(
    "video/mp4 video/3gpp video/quicktime video/webm video/mpeg audio/mpeg audio/mp4 audio/aac audio/amr audio/ogg".split()
)
_RENAMED: Final = {  # `filetype`'s names to the registered ones
    "image/apng": "image/png",
    "video/x-m4v": "video/mp4",
    "video/x-matroska": "video/matroska",
    "video/x-msvideo": "video/vnd.avi",
    "audio/x-flac": "audio/flac",
    "audio/x-wav": "audio/wav",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLimits:
    """The limits of a picture: one over them is refused with TooLarge, before its pixels are decoded.

    `max_bytes`: the file, before it is read; TIM's limit for pictures is 28 MB.
    `max_pixels`: held in memory at 4 bytes a pixel, 8 while a picture with alpha is scaled, so 400 MB;
    a WebP counts twice. A stitched screenshot and an 8K frame are 30 million.
    `max_jpeg_pixels`: a baseline JPEG decodes at 1/2, 1/4 or 1/8, so it may be far larger than its pixels in memory;
    the largest cameras in phones make 200 million.
    `max_frames`: of an animation, two minutes at 25 a second: it is sent as it is, and receivers play it.
    """

    max_bytes: int = 28 * 2**20
    max_pixels: int = 50_000_000
    max_jpeg_pixels: int = 200_000_000
    max_frames: int = 3_000


def sniff_mime_type(head: bytes) -> str | None:
    """Return the MIME type of a picture, film or sound by its first 262 bytes; None for all else, SVG included.

    A signature is a file's claim, and does not say that it is whole: for pictures, `make_variants` proves that.
    """
    import filetype

    kind = filetype.guess(head[:262])
    if kind is None:
        return None
    return _RENAMED.get(kind.mime, kind.mime if kind.mime in _KINDS else None)


def read_file(path: Path, max_bytes: int) -> bytes:
    """Read a file, at most one byte over the limit. The size is checked first; a FIFO or a device is never opened."""
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):
            raise MediaError(f"{path} is not a file")
        if state.st_size > max_bytes:
            raise TooLarge(f"{path} has {state.st_size} bytes; the limit is {max_bytes}")
        with path.open("rb") as file:
            return file.read(max_bytes + 1)
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise FileMissing(f"{path}: no such file") from exc
    except (OSError, ValueError) as exc:  # ValueError: a NUL in the name
        raise MediaError(f"{path} cannot be read: {exc}") from exc


def open_picture(data: bytes) -> tuple[ImageFile, str]:
    """Read a picture's header and no more; returns the picture and its format.

    Pillow's plugin is called by name: `Image.open` would warn about bombs through process-wide state that no thread can
    change safely, and sizes are checked here anyway.
    """
    from PIL import Image, features

    kind = sniff_mime_type(data)
    form = FORMATS.get(kind or "")
    if form is None or (form == "AVIF" and not features.check("avif")):
        raise NotAnImage(f"{kind} is not taken: send a JPEG or PNG" if kind else "not a picture")
    if form == "PNG" and b"IEND" not in data:
        raise NotAnImage("truncated")  # of an APNG one frame is decoded, which would not tell
    if form == "HEIF":
        return _open_heic(data), form
    Image.init()
    return Image.OPEN[form][0](BytesIO(data), ""), form


def _open_heic(data: bytes) -> ImageFile:
    """Open a HEIC picture with the plugin of the extra `heic`; the plugin turns the picture upright by itself."""
    try:
        from pillow_heif import HeifImageFile
    except ImportError as exc:
        raise NotAnImage("HEIC is not taken here: install timim[heic], or send a JPEG or PNG") from exc
    opened: ImageFile = HeifImageFile(BytesIO(data), "")  # type: ignore[no-untyped-call]
    return opened


def count_gif_frames(data: bytes, limit: int) -> int:
    """Count the frames of a GIF, to `limit` + 1: Pillow would seek through all, and two million fit into 28 MB."""

    def after_palette(pos: int, flags: int) -> int:
        return pos + (3 << (flags & 7) + 1 if flags & 0x80 else 0)

    frames, pos = 0, after_palette(13, data[10])
    while frames <= limit and pos < len(data) and data[pos] in (0x21, 0x2C):
        if data[pos] == 0x21:  # an extension: its label, then blocks
            pos += 2
        else:  # a frame: its place, a palette, the code size, then blocks
            frames += 1
            pos = after_palette(pos + 10, data[pos + 9]) + 1
        while size := data[pos]:  # IndexError: the file ends within a block
            pos += size + 1
        pos += 1
    return frames

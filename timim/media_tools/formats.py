"""Picture files: detection of the format by the first bytes, and reading of the header within limits.

Invariant: no pixels are decoded here, and Pillow opens only the formats of the table FORMATS.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..errors import FileMissing, MediaError, NotAnImage, TooLarge
from .unsupported import is_raw, unsupported_picture

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

REMEDY: Final = "send a JPEG or PNG, or the file as a FileElem"
END_MISSING: Final = "the end of the picture is missing; save it again, or send it as a FileElem"
DAMAGED: Final = "the picture is damaged, or its end is missing; save it again, or send it as a FileElem"
MAX_SCANS = 500  # of a progressive JPEG: cameras write 10, and each one costs a pass over the whole picture

FORMATS: Final = {  # the formats that Pillow may open
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
_BRANDS: Final = {  # of the ISO base media file format, in the order in which they decide
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"heim": "image/heic",
    b"heis": "image/heic",
    b"hevc": "image/heic",
    b"hevx": "image/heic",
    b"mif1": "image/heic",
    b"msf1": "image/heic",
}
_RENAMED: Final = {  # names of `filetype` to registered names
    "image/apng": "image/png",
    "video/x-m4v": "video/mp4",
    "video/x-matroska": "video/matroska",
    "video/x-msvideo": "video/vnd.avi",
    "audio/x-flac": "audio/flac",
    "audio/x-wav": "audio/wav",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLimits:
    """The limits of a picture. A picture above a limit is refused with TooLarge before its pixels are decoded.

    Attributes:
        max_bytes: Size of the file, checked before reading; Tencent's limit for pictures is 28 MB.
        max_pixels: Pixels in memory, of 4 bytes each, or 8 while a picture with alpha is scaled: 400 MB at most. A WebP counts
            twice. A stitched screenshot or an 8K frame has 30 million pixels.
        max_jpeg_pixels: Pixels of a baseline JPEG, which can be decoded at 1/2, 1/4 or 1/8 of its size. The largest phone
            cameras have 200 million pixels.
        max_frames: Frames of an animation, two minutes at 25 per second; receivers play the original.
    """

    max_bytes: int = 28 * 2**20
    max_pixels: int = 50_000_000
    max_jpeg_pixels: int = 200_000_000
    max_frames: int = 3_000


def sniff_mime_type(head: bytes) -> str | None:
    """Return the MIME type of a picture, film or sound by its first 262 bytes; None for other content, including SVG.

    The signature does not prove that a file is complete; for pictures, `make_variants` proves that.
    """
    import filetype

    if head[4:8] == b"ftyp":  # the box lists the kinds that the file can be read as, and may begin with a general one
        listed = head[8 : min(int.from_bytes(head[:4], "big"), 262)]
        brands = {listed[at : at + 4] for at in range(0, len(listed), 4)}
        if brand := next((brand for brand in _BRANDS if brand in brands), None):
            return _BRANDS[brand]
    kind = filetype.guess(head[:262])
    if kind is None:
        return None
    return _RENAMED.get(kind.mime, kind.mime if kind.mime in _KINDS else None)


def read_file(path: Path, max_bytes: int) -> bytes:
    """Return the content of a file, after checking its size; a FIFO or a device is never opened.

    Raises:
        FileMissing: The file does not exist.
        TooLarge: The file has more than `max_bytes` bytes.
        MediaError: The file cannot be read.
    """
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):
            raise MediaError(f"{path} is not a regular file")
        if state.st_size > max_bytes:
            raise TooLarge(f"{path} has {state.st_size} bytes; the limit is {max_bytes}")
        with path.open("rb") as file:
            return file.read(max_bytes + 1)
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise FileMissing(f"{path}: no such file") from exc
    except OSError as exc:
        raise MediaError(f"{path} cannot be read: {exc.strerror}") from exc
    except ValueError as exc:
        raise MediaError(f"{path} cannot be read: a path must not contain NUL") from exc


def open_picture(data: bytes) -> tuple[ImageFile, str]:
    """Read the header of a picture; return the undecoded picture and its format.

    Pillow's plugin is called directly: `Image.open` warns about decompression bombs depending on process-wide state, which
    threads cannot change safely, and the sizes are checked here anyway.

    Raises:
        NotAnImage: The content is not a picture of an allowed format, or its end is missing.
    """
    from PIL import Image, features

    kind = sniff_mime_type(data)
    form = FORMATS.get(kind or "")
    if form is None or (form == "AVIF" and not features.check("avif")):
        if unsupported := form or unsupported_picture(data):
            raise NotAnImage(f"this kind of picture is not supported: {unsupported}; {REMEDY}")
        raise NotAnImage(f"the content is not a picture but {kind}" if kind else "the content is not a picture")
    if form == "PNG" and b"IEND" not in data:
        raise NotAnImage(END_MISSING)  # decoding one frame of an APNG would not detect it
    if form == "HEIF":
        return _open_heic(data), form
    Image.init()
    opened = Image.OPEN[form][0](BytesIO(data), "")
    if form == "TIFF" and is_raw(opened):
        raise NotAnImage(f"this kind of picture is not supported: the raw data of a camera; {REMEDY}")
    return opened, form


def _open_heic(data: bytes) -> ImageFile:
    """Open a HEIC picture with the plugin of the extra `heic`, which also applies the orientation."""
    try:
        from pillow_heif import HeifImageFile
    except ImportError as exc:
        raise NotAnImage("HEIC needs a plugin; install timim[heic], or send a JPEG or PNG") from exc
    opened: ImageFile = HeifImageFile(BytesIO(data), "")  # type: ignore[no-untyped-call]
    return opened


def count_gif_frames(data: bytes, limit: int) -> int:
    """Return the number of frames of a GIF, at most `limit` + 1; Pillow would read all, and 28 MB can have two million."""

    def after_palette(pos: int, flags: int) -> int:
        return pos + (3 << (flags & 7) + 1 if flags & 0x80 else 0)

    frames, pos = 0, after_palette(13, data[10])
    while frames <= limit and pos < len(data) and data[pos] in (0x21, 0x2C):
        if data[pos] == 0x21:  # an extension: its label, then blocks
            pos += 2
        else:  # a frame: its position, a palette, the code size, then blocks
            frames += 1
            pos = after_palette(pos + 10, data[pos + 9]) + 1
        while size := data[pos]:  # IndexError if the file ends inside a block
            pos += size + 1
        pos += 1
    return frames

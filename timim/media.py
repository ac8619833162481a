"""Preparation of pictures for sending (original, large and thumb), and detection of file formats.

Invariant: the bytes of the original do not change unless the user asks for it. A variant is either the original
(`Variant.data` is None) or encoded from the pixels: upright, in sRGB, without EXIF, GPS, comments, XMP or profile.

    original    the unchanged bytes
    large       proportional, the shorter side 720 pixels; the original if that would enlarge it
    thumb       proportional, the shorter side 198 pixels; the original if that would enlarge it

A variant is a JPEG, or a PNG if pixels are transparent (JPEG has no alpha) or a side is over JPEG's limit of 65500. Variants
of animated GIF, WebP and PNG are animated within limits (`media_tools/animation.py`); beyond the limits, and for files with
pages, a variant shows the first frame. Pillow is imported with the first picture, because its import is slow (Tencent IM SDK
guide, 接收图片消息).
"""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Final, TypeVar

from .elems import ImageCompression
from .errors import EmptyFile, MediaError, NotAnImage, TooLarge
from .media_tools.animation import animated_variants, count_frames
from .media_tools.formats import DAMAGED, END_MISSING, ImageLimits, open_picture, read_file, sniff_mime_type
from .media_tools.metadata import strip_metadata
from .media_tools.resize import ImageVariants, Variant, encode, load_reduced, scaled_size

T = TypeVar("T")

__all__ = [
    "ImageLimits",
    "ImageVariants",
    "Variant",
    "compressed_image",
    "image_variants",
    "make_variants",
    "scaled_size",
    "sniff_mime_type",
    "strip_location",
]

LARGE_SIDE: Final = 720  # pixels of the shorter side; both numbers are of the Tencent IM SDK guide
THUMB_SIDE: Final = 198

_COMPRESSED: Final = {ImageCompression.HIGH: (960, 75), ImageCompression.HD: (1440, 85)}  # shorter side, JPEG quality
_WORKERS = 2  # a picture at the limit needs 400 MB of memory
_TIM_FORMAT: Final = {"JPEG": 1, "GIF": 2, "PNG": 3, "BMP": 4}
_TIM_OTHER: Final = 255
_DEFAULT_LIMITS: Final = ImageLimits()


async def image_variants(source: Path | bytes, *, limits: ImageLimits = _DEFAULT_LIMITS) -> ImageVariants:
    """Make the three variants of a picture in a worker thread; see `make_variants`.

    At most two pictures are processed at once in this process; further calls wait in order. Cancelling drops a waiting
    picture; a picture in process ends without effect. No file is written. docs/explanation/media.md has the cost of each
    format, and names the formats that block the event loop.

    Raises:
        FileMissing: There is no such file (7004).
        EmptyFile: The content has 0 bytes (7006).
        TooLarge: There are too many bytes, pixels or frames (7005), see `ImageLimits`.
        NotAnImage: The format is not supported, or the picture is damaged or truncated (6031).
        MediaError: The path is a directory or not readable.
    """
    work = partial(make_variants, source, limits=limits)
    return await asyncio.get_running_loop().run_in_executor(_pool(), work)


def make_variants(source: Path | bytes, *, limits: ImageLimits = _DEFAULT_LIMITS) -> ImageVariants:
    """Make the three variants of a JPEG, PNG, GIF, WebP, BMP, TIFF or AVIF picture, or of HEIC with `timim[heic]`.

    Raises:
        FileMissing: There is no such file (7004).
        EmptyFile: The content has 0 bytes (7006).
        TooLarge: There are too many bytes, pixels or frames (7005), see `ImageLimits`.
        NotAnImage: The format is not supported, or the picture is damaged or truncated (6031).
        MediaError: The path is a directory or not readable.
    """
    return _read_and_make(source, limits, lambda data: _make_variants(data, limits))


async def compressed_image(source: Path | bytes, level: ImageCompression, *, limits: ImageLimits = _DEFAULT_LIMITS) -> bytes:
    """Return the picture compressed to this level; ORIGINAL returns the unchanged bytes.

    HIGH limits the shorter side to 960 pixels (JPEG quality 75), HD to 1440 (quality 85). Animations, smaller pictures, and
    pictures that would not take fewer bytes, stay unchanged. Cancelling has the effect described for `image_variants`.

    Raises:
        FileMissing: There is no such file (7004).
        EmptyFile: The content has 0 bytes (7006).
        TooLarge: There are too many bytes, pixels or frames (7005), see `ImageLimits`.
        NotAnImage: The format is not supported, or the picture is damaged or truncated (6031).
        MediaError: The path is a directory or not readable.
    """
    if level is ImageCompression.ORIGINAL:
        return await asyncio.to_thread(_bytes_of, source, limits)
    work = partial(_read_and_make, source, limits, lambda data: _compress(data, level, limits))
    return await asyncio.get_running_loop().run_in_executor(_pool(), work)


async def strip_location(source: Path | bytes, *, limits: ImageLimits = _DEFAULT_LIMITS) -> bytes:
    """Return a JPEG, PNG or WebP picture without GPS, XMP, IPTC, comments and EXIF except the orientation.

    The pixels do not change.

    Raises:
        FileMissing: There is no such file (7004).
        EmptyFile: The content has 0 bytes (7006).
        TooLarge: There are too many bytes (7005), see `ImageLimits`.
        NotAnImage: The picture is damaged or truncated (6031).
        MediaError: The format is another one (6022), or the path is a directory or not readable.
    """
    work = partial(_read_and_make, source, limits, strip_metadata)
    return await asyncio.get_running_loop().run_in_executor(_pool(), work)


def _bytes_of(source: Path | bytes, limits: ImageLimits) -> bytes:
    return source if isinstance(source, bytes) else read_file(source, limits.max_bytes)


def _read_and_make(source: Path | bytes, limits: ImageLimits, make: Callable[[bytes], T]) -> T:
    """Read the source and return the result of `make` for its bytes; raise the errors of `make_variants`."""
    name = "the data" if isinstance(source, bytes) else str(source)
    data = source if isinstance(source, bytes) else read_file(source, limits.max_bytes)
    if not data:
        raise EmptyFile(f"{name} is empty")
    if len(data) > limits.max_bytes:
        raise TooLarge(f"{name} has {len(data)} bytes; the limit is {limits.max_bytes}")
    from PIL.Image import DecompressionBombError, DecompressionBombWarning

    try:
        return make(data)
    except MediaError as exc:
        raise type(exc)(f"{name}: {exc.info}") from exc.__cause__
    except (DecompressionBombError, DecompressionBombWarning, MemoryError) as exc:
        raise TooLarge(f"{name}: too many pixels") from exc
    except Exception as exc:  # Pillow raises a dozen unrelated exceptions for damaged files, such as SyntaxError
        cut = isinstance(exc, EOFError | IndexError | struct.error) or "truncated" in str(exc)
        raise NotAnImage(f"{name}: {END_MISSING if cut else DAMAGED}") from exc


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_WORKERS, thread_name_prefix="timim-image")


if hasattr(os, "register_at_fork"):  # a forked child has the pool but not its threads, and would never end
    os.register_at_fork(after_in_child=_pool.cache_clear)


def _make_variants(data: bytes, limits: ImageLimits) -> ImageVariants:
    from PIL.Image import Resampling

    im, form = open_picture(data)
    if im.width < 1 or im.height < 1:
        raise NotAnImage("the picture has no pixels")
    frames = count_frames(data, im, form, limits)
    first = next((side for side in (LARGE_SIDE, THUMB_SIDE) if min(im.size) > side), None)
    small, full, turn = load_reduced(data, im, form, first, limits)
    size = (full[1], full[0]) if turn >= 5 else full
    original = Variant(*size, None, form, len(data))
    large = thumb = original
    if small is not None and first is not None:
        moving = animated_variants(data, form, frames, turn, _sides(first))
        if first == LARGE_SIDE:
            large = moving.get(LARGE_SIDE) or encode(small)
            small = small.resize(scaled_size(*size, THUMB_SIDE), Resampling.LANCZOS)
        thumb = moving.get(THUMB_SIDE) or encode(small)
    return ImageVariants(original, large, thumb, _TIM_FORMAT.get(form, _TIM_OTHER))


def _sides(first: int) -> tuple[int, ...]:
    return (LARGE_SIDE, THUMB_SIDE) if first == LARGE_SIDE else (THUMB_SIDE,)


def _compress(data: bytes, level: ImageCompression, limits: ImageLimits) -> bytes:
    im, form = open_picture(data)
    shorter, quality = _COMPRESSED[level]
    if int(getattr(im, "n_frames", 1)) > 1 or min(im.size) <= shorter:
        _make_variants(data, limits)  # checks the whole picture and the limits
        return data
    small, _, _ = load_reduced(data, im, form, shorter, limits)
    assert small is not None
    smaller = encode(small, quality=quality).data
    assert smaller is not None
    return smaller if len(smaller) < len(data) else data

"""Pictures, made ready to send: original, large and thumb; and the kind of a file by its first bytes.

Invariant: the original's bytes are never touched unless the user asks. A variant is those very bytes (`Variant.data` is
None), or made anew from pixels alone: turned upright, in sRGB, without EXIF, GPS, comments, XMP or profile.

    original    the bytes as they are
    large       proportional, the shorter side 720; the original where that would enlarge or change nothing
    thumb       likewise, the shorter side 198

A variant is a JPEG, or a PNG where pixels are transparent (JPEG has no alpha) or a side is over JPEG's 65500. An animated GIF,
WebP or PNG stays one within bounds (`media_tools/animation.py`); past them, and for files with pages, it is the first frame.
Pillow is imported at the first picture, so that `import timim` does not pay for it (source: section 接收图片消息; F05, F06).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Final, TypeVar

from .elems import ImageCompression
from .errors import EmptyFile, MediaError, NotAnImage, TooLarge
from .media_tools.animation import animated_variants, count_frames
from .media_tools.formats import ImageLimits, open_picture, read_file, sniff_mime_type
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
_WORKERS = 2  # a picture at the limit takes 400 MB for a moment, so few at once
_TIM_FORMAT: Final = {"JPEG": 1, "GIF": 2, "PNG": 3, "BMP": 4}
_TIM_OTHER: Final = 255
_DEFAULT_LIMITS: Final = ImageLimits()


async def image_variants(source: Path | bytes, *, limits: ImageLimits = _DEFAULT_LIMITS) -> ImageVariants:
    """Run `make_variants` in one of two threads that are kept for pictures.

    At most two pictures are worked on at once in this process; further callers wait in line, and hold only their argument.
    Cancelling leaves nothing behind: a waiting picture is dropped, and one under way ends by itself, without effect; no file
    is ever written. docs/explanation/media.md has the cost of each format, and names those that block the loop.
    """
    work = partial(make_variants, source, limits=limits)
    return await asyncio.get_running_loop().run_in_executor(_pool(), work)


def make_variants(source: Path | bytes, *, limits: ImageLimits = _DEFAULT_LIMITS) -> ImageVariants:
    """Make the three variants of a picture: JPEG, PNG, GIF, WebP, BMP, TIFF, AVIF, and HEIC with `timim[heic]`.

    Raises FileMissing (7004), EmptyFile (7006), TooLarge (7005: bytes, pixels or frames, see `ImageLimits`),
    NotAnImage (6031: another kind, damaged or truncated), MediaError (a directory, or not readable).
    """
    return _read_and_make(source, limits, lambda data: _make_variants(data, limits))


async def compressed_image(source: Path | bytes, level: ImageCompression, *, limits: ImageLimits = _DEFAULT_LIMITS) -> bytes:
    """Return the picture to send at this level: its own bytes for ORIGINAL, otherwise a smaller picture made from it.

    HIGH (much compressed): the shorter side at most 960 pixels, JPEG quality 75. HD: at most 1440, quality 85. A picture
    that is not larger, or that would not take fewer bytes, and an animation stay as they are. Raises as `make_variants`.
    """
    if level is ImageCompression.ORIGINAL:
        return await asyncio.to_thread(_bytes_of, source, limits)
    work = partial(_read_and_make, source, limits, lambda data: _compress(data, level, limits))
    return await asyncio.get_running_loop().run_in_executor(_pool(), work)


async def strip_location(source: Path | bytes, *, limits: ImageLimits = _DEFAULT_LIMITS) -> bytes:
    """Return the picture without EXIF (but for its orientation), GPS, XMP, IPTC and comments; its pixels are copied.

    For JPEG, PNG and WebP. Raises MediaError (6022) for any other format, and as `make_variants`.
    """
    work = partial(_read_and_make, source, limits, strip_metadata)
    return await asyncio.get_running_loop().run_in_executor(_pool(), work)


def _bytes_of(source: Path | bytes, limits: ImageLimits) -> bytes:
    return source if isinstance(source, bytes) else read_file(source, limits.max_bytes)


def _read_and_make(source: Path | bytes, limits: ImageLimits, make: Callable[[bytes], T]) -> T:
    """Read the source and pass its bytes to `make`. Raises as `make_variants`."""
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
    except Exception as exc:  # for damaged files Pillow raises a dozen unrelated kinds, SyntaxError among them
        raise NotAnImage(f"{name}: damaged or truncated") from exc


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_WORKERS, thread_name_prefix="timim-image")


if hasattr(os, "register_at_fork"):  # a forked child has the pool but not its threads, and would wait for ever
    os.register_at_fork(after_in_child=_pool.cache_clear)


def _make_variants(data: bytes, limits: ImageLimits) -> ImageVariants:
    from PIL.Image import Resampling

    im, form = open_picture(data)
    if im.width < 1 or im.height < 1:
        raise NotAnImage("a picture without pixels")
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
        _make_variants(data, limits)  # whole, and within the limits
        return data
    small, _, _ = load_reduced(data, im, form, shorter, limits)
    assert small is not None
    smaller = encode(small, quality=quality).data
    assert smaller is not None
    return smaller if len(smaller) < len(data) else data

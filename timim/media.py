"""Pictures, made ready to send: original, large and thumb; and the kind of a file by its first bytes.

Invariant: the original's bytes are never touched. A variant is those very bytes (`Variant.data is None`), or
made anew from pixels alone: turned upright, in sRGB, without EXIF, GPS, comments, XMP or profile.

    original    the bytes as they are
    large       proportional, the shorter side 720; the original where that would enlarge or change nothing
    thumb       likewise, the shorter side 198

A variant is a JPEG, or a PNG where pixels are transparent (JPEG has no alpha) or a side is over JPEG's 65500.
That of an animation, or of a file with pages, is its first frame. Pillow is imported at the first picture, so
that `import timim` does not pay for it (source: section 接收图片消息; rows F05, F06).
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from .elems import ImageCompression
from .errors import EmptyFile, FileMissing, MediaError, NotAnImage, TooLarge

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

T = TypeVar("T")

__all__ = [
    "ImageLimits",
    "ImageVariants",
    "Variant",
    "compressed_image",
    "image_variants",
    "make_variants",
    "scaled",
    "sniff_kind",
]

LARGE_SIDE: Final = 720  # pixels of the shorter side; both numbers are the document's
THUMB_SIDE: Final = 198

_COMPRESSED: Final = {ImageCompression.HIGH: (960, 75), ImageCompression.HD: (1440, 85)}  # shorter side, JPEG quality
_WORKERS = 2  # a picture at the limit takes 400 MB for a moment, so few at once
_GAP = 2.0  # first reduce cheaply to twice the target or more, then LANCZOS: half the time, 50 dB from it alone
_QUALITY = 85  # JPEG: a 12 MP photo's large has 160 KB
_JPEG_MAX_SIDE = 65_500  # libjpeg's
_MAX_SCANS = 500  # of a progressive JPEG: cameras write 10, and each costs a pass over the whole picture

_FORMATS: Final = {  # the allow-list: what Pillow may open. HEIC would need GPL wheels
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/gif": "GIF",
    "image/webp": "WEBP",
    "image/bmp": "BMP",
    "image/tiff": "TIFF",
    "image/avif": "AVIF",
}
_TIM_FORMAT: Final = {"JPEG": 1, "GIF": 2, "PNG": 3, "BMP": 4}
_TIM_OTHER: Final = 255

_KINDS: Final = frozenset(_FORMATS) | frozenset(
    "image/heic video/mp4 video/3gpp video/quicktime video/webm video/mpeg "
    "audio/mpeg audio/mp4 audio/aac audio/amr audio/ogg".split()
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
    """What is refused with TooLarge, before the pixels are decoded.

    `max_bytes`: the file, before it is read; TIM's limit for pictures is 28 MB.
    `max_pixels`: held in memory at 4 bytes a pixel, 8 while a picture with alpha is scaled, so 400 MB;
    a WebP counts twice. A stitched screenshot and an 8K frame are 30 million.
    `max_jpeg_pixels`: a baseline JPEG decodes at 1/2, 1/4 or 1/8, so it may be far larger than what is held;
    the largest cameras in phones make 200 million.
    `max_frames`: of an animation, two minutes at 25 a second: it is sent as it is, and receivers play it.
    """

    max_bytes: int = 28 * 2**20
    max_pixels: int = 50_000_000
    max_jpeg_pixels: int = 200_000_000
    max_frames: int = 3_000


_DEFAULT_LIMITS: Final = ImageLimits()


@dataclass(frozen=True, slots=True)
class Variant:
    """One size of a picture: pixels as displayed; `data` None: the original's own bytes; `size` in bytes."""

    width: int
    height: int
    data: bytes | None
    format: str
    size: int

    def __repr__(self) -> str:
        return f"<Variant {self.width}x{self.height} {self.format} {self.size} bytes>"


@dataclass(frozen=True, slots=True)
class ImageVariants:
    """The three sizes of one picture. `image_format`: 1 JPG, 2 GIF, 3 PNG, 4 BMP, 255 another (TIM's)."""

    original: Variant
    large: Variant
    thumb: Variant
    image_format: int


def scaled(width: int, height: int, shorter: int) -> tuple[int, int]:
    """The size whose shorter side is `shorter`, in the same proportion; never larger than it was.

    The other side is rounded half upwards; being the longer one, it cannot come out below `shorter`.
    """
    short = min(width, height)
    if short <= shorter:
        return width, height
    return (2 * width * shorter + short) // (2 * short), (2 * height * shorter + short) // (2 * short)


def sniff_kind(head: bytes) -> str | None:
    """The MIME type of a picture, film or sound by its first 262 bytes; None for all else, SVG included.

    A signature is what a file claims to be, not that it is whole: for pictures, `make_variants` proves that.
    """
    import filetype

    kind = filetype.guess(head[:262])
    if kind is None:
        return None
    return _RENAMED.get(kind.mime, kind.mime if kind.mime in _KINDS else None)


async def image_variants(source: Path | bytes, *, limits: ImageLimits = _DEFAULT_LIMITS) -> ImageVariants:
    """`make_variants` in one of two threads that are kept for pictures; the loop goes on meanwhile.

    At most two pictures are worked on in this process, whoever asks. Further callers wait in line; what waits
    holds its argument alone. Cancelling leaves nothing behind: one in line is dropped, one under way ends by
    itself, unheard; no file is ever written. Pillow's WebP and AVIF decoders keep the GIL: a 12 MP WebP stops
    the loop for 0.15 s, an AVIF for 0.02 s. The others let it run.
    """
    work = partial(make_variants, source, limits=limits)
    return await asyncio.get_running_loop().run_in_executor(_pool(), work)


def make_variants(source: Path | bytes, *, limits: ImageLimits = _DEFAULT_LIMITS) -> ImageVariants:
    """The three variants of a picture: JPEG, PNG, GIF, WebP, BMP, TIFF, and AVIF where this Pillow has it.

    Raises FileMissing (7004), EmptyFile (7006), TooLarge (7005: bytes, pixels or frames, see `ImageLimits`),
    NotAnImage (6031: another kind, damaged or truncated), MediaError (a directory, or not readable).
    """
    return _carefully(source, limits, lambda data: _make(data, limits))


async def compressed_image(source: Path | bytes, level: ImageCompression, *, limits: ImageLimits = _DEFAULT_LIMITS) -> bytes:
    """What is sent of a picture at this level: with ORIGINAL its own bytes, otherwise a smaller picture made from it.

    HIGH (much compressed): the shorter side at most 960 pixels, JPEG quality 75. HD: at most 1440, quality 85. A picture
    that is not larger, or that would not take fewer bytes, and an animation stay as they are. Raises as `make_variants`.
    """
    if level is ImageCompression.ORIGINAL:
        return await asyncio.to_thread(_bytes_of, source, limits)
    work = partial(_carefully, source, limits, lambda data: _compress(data, level, limits))
    return await asyncio.get_running_loop().run_in_executor(_pool(), work)


def _bytes_of(source: Path | bytes, limits: ImageLimits) -> bytes:
    return source if isinstance(source, bytes) else _read(source, limits.max_bytes)


def _carefully(source: Path | bytes, limits: ImageLimits, make: Callable[[bytes], T]) -> T:
    """Read the source and make something of it; what goes wrong is named as `make_variants` says."""
    name = "the data" if isinstance(source, bytes) else str(source)
    data = source if isinstance(source, bytes) else _read(source, limits.max_bytes)
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


def _read(path: Path, max_bytes: int) -> bytes:
    """At most one byte over the limit. The size is looked at first; a FIFO or a device is never opened."""
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


def _make(data: bytes, limits: ImageLimits) -> ImageVariants:
    from PIL.Image import Resampling

    im, form = _open(data)
    if im.width < 1 or im.height < 1:
        raise NotAnImage("a picture without pixels")
    frames = _gif_frames(data, limits.max_frames) if form == "GIF" else 1
    if form in ("PNG", "WEBP", "AVIF"):
        frames = int(getattr(im, "n_frames", 1))  # the file's own word, from its header
    if frames > limits.max_frames:
        raise TooLarge(f"an animation of more than {limits.max_frames} frames")
    full = im.size
    first = next((side for side in (LARGE_SIDE, THUMB_SIDE) if min(full) > side), None)
    small, full, turn = _reduced(data, im, form, first, limits)
    shown = (full[1], full[0]) if turn >= 5 else full
    original = Variant(*shown, None, form, len(data))
    large = thumb = original
    if small is not None:
        if first == LARGE_SIDE:
            large = _encode(small)
            small = small.resize(scaled(*shown, THUMB_SIDE), Resampling.LANCZOS)
        thumb = _encode(small)
    return ImageVariants(original, large, thumb, _TIM_FORMAT.get(form, _TIM_OTHER))


def _reduced(
    data: bytes, im: ImageFile, form: str, shorter: int | None, limits: ImageLimits
) -> tuple[Image | None, tuple[int, int], int]:
    """The picture with this shorter side, upright and in sRGB, or None; its full size as stored, and how it is turned."""
    from PIL.Image import Resampling

    full = im.size
    box = _decode(data, im, form, scaled(*full, shorter) if shorter else None, limits)
    if box is None:
        full = im.size  # a TIFF turns itself upright while it loads
    turn = _orientation(im)
    if not shorter:
        return None, full, turn
    profile = im.info.get("icc_profile")
    small = _scalable(im).resize(scaled(*full, shorter), Resampling.LANCZOS, box=box, reducing_gap=_GAP)
    small = _upright(_srgb(_eight_bits(small), profile), turn)
    small.info.clear()  # Pillow's writers take comments and profiles from here
    return small, full, turn


def _compress(data: bytes, level: ImageCompression, limits: ImageLimits) -> bytes:
    im, form = _open(data)
    shorter, quality = _COMPRESSED[level]
    animated = int(getattr(im, "n_frames", 1)) > 1
    if animated or min(im.size) <= shorter:
        _make(data, limits)  # whole, and within the limits
        return data
    small, _, _ = _reduced(data, im, form, shorter, limits)
    assert small is not None
    smaller = _encode(small, quality=quality).data
    assert smaller is not None
    return smaller if len(smaller) < len(data) else data


def _open(data: bytes) -> tuple[ImageFile, str]:
    """The picture, its header read and no more. Its plugin is called by name: `Image.open` would warn about
    bombs through process-wide state that no thread can change safely, and sizes are checked here anyway.
    """
    from PIL import Image, features

    kind = sniff_kind(data)
    form = _FORMATS.get(kind or "")
    if form is None or (form == "AVIF" and not features.check("avif")):
        raise NotAnImage(f"{kind} is not taken: send a JPEG or PNG" if kind else "not a picture")
    if form == "PNG" and b"IEND" not in data:
        raise NotAnImage("truncated")  # of an APNG one frame is decoded, which would not tell
    Image.init()
    return Image.OPEN[form][0](BytesIO(data), ""), form


def _gif_frames(data: bytes, limit: int) -> int:
    """Frames of a GIF, counted to `limit` + 1: Pillow would seek through all, two million fit into 28 MB."""

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


def _decode(
    data: bytes, im: ImageFile, form: str, target: tuple[int, int] | None, limits: ImageLimits
) -> tuple[float, float, float, float] | None:
    """Load the pixels, a JPEG's at 1/2 to 1/8 where that leaves twice the target: then, the part to scale."""
    size, held, box = f"{im.width}x{im.height} pixels", im.width * im.height, None
    if form == "JPEG":
        if held > limits.max_jpeg_pixels:
            raise TooLarge(f"{size}; the limit is {limits.max_jpeg_pixels} in all")
        drafted = im.draft(None, (int(target[0] * _GAP), int(target[1] * _GAP))) if target else None
        box = drafted[1] if drafted else None
        if not im.info.get("progressive"):  # libjpeg holds all coefficients of a progressive one, at any scale
            held = im.width * im.height
        elif data.count(b"\xff\xda") > _MAX_SCANS:  # chance puts 400 into 28 MB that follow a picture
            raise TooLarge(f"more than {_MAX_SCANS} scans")
    if form == "WEBP":
        held *= 2  # libwebp holds the canvas twice, and the frame
    if held > limits.max_pixels:
        raise TooLarge(f"{size}; the limit is {limits.max_pixels} held in memory")
    im.load()
    return box


def _orientation(im: Image) -> int:
    try:
        turn = im.getexif().get(0x0112, 1)
    except Exception:  # noqa: BLE001 - damaged EXIF around a sound picture is common, and no reason to refuse it
        return 1
    return turn if turn in range(1, 9) else 1


def _scalable(im: Image) -> Image:
    """In a mode whose values may be averaged: no palette, no bits; a transparent colour becomes alpha."""
    if im.mode == "PA" or (im.mode in ("P", "1", "L", "RGB") and "transparency" in im.info):
        return im.convert("RGBA")
    return im.convert("RGB" if im.mode == "P" else "L") if im.mode in ("P", "1") else im


def _eight_bits(im: Image) -> Image:
    """As L, RGB, RGBA or CMYK. 16 bits lose the lower eight; 32-bit and float greys have no agreed white:
    their own darkest is black, their brightest white.
    """
    match im.mode:
        case "L" | "RGB" | "RGBA" | "CMYK":
            return im
        case "LA" | "La" | "RGBa":
            return im.convert("RGBA")
        case "I;16" | "I;16L" | "I;16B" | "I;16N":
            return im.convert("I").point(lambda value: value * (1 / 256)).convert("L")
        case "I" | "F":
            grey = im.convert("F")
            low, high = (float(value) for value in grey.getextrema())  # type: ignore[arg-type]
            scale = 255 / (high - low) if high > low else 0.0
            return grey.point(lambda value: value * scale - low * scale).convert("L")
        case _:
            return im.convert("RGB")


def _srgb(im: Image, profile: bytes | None) -> Image:
    """In sRGB, what a picture without a profile is taken for; a profile that does not fit is ignored."""
    if profile:
        from PIL import ImageCms

        try:
            source, srgb = ImageCms.ImageCmsProfile(BytesIO(profile)), ImageCms.createProfile("sRGB")
            intent, black = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION
            mode = "RGBA" if im.mode == "RGBA" else "RGB"
            return ImageCms.profileToProfile(im, source, srgb, intent, mode, flags=black) or im
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass
    return im.convert("RGB") if im.mode == "CMYK" else im


def _upright(im: Image, turn: int) -> Image:
    """What ImageOps.exif_transpose does, on the small picture and without a second look at the EXIF."""
    from PIL.Image import Transpose

    flips = (Transpose.FLIP_LEFT_RIGHT, Transpose.ROTATE_180, Transpose.FLIP_TOP_BOTTOM, Transpose.TRANSPOSE)
    turns = (*flips, Transpose.ROTATE_270, Transpose.TRANSVERSE, Transpose.ROTATE_90)
    return im.transpose(turns[turn - 2]) if turn > 1 else im


def _encode(im: Image, *, quality: int = _QUALITY) -> Variant:
    if im.mode == "RGBA" and im.getchannel("A").getextrema() == (255, 255):
        im = im.convert("RGB")
    out, form = BytesIO(), "PNG" if im.mode == "RGBA" or max(im.size) > _JPEG_MAX_SIDE else "JPEG"
    im.save(out, form, quality=quality)
    return Variant(im.width, im.height, out.getvalue(), form, out.tell())

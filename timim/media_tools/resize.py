"""A picture's pixels: loaded no larger than needed, made 8-bit and sRGB, scaled, turned upright, and written.

Invariant: `encode` writes pixels and nothing else: no EXIF, GPS, comments, XMP or profile.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Final

from ..errors import TooLarge
from .formats import MAX_SCANS, ImageLimits

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

QUALITY: Final = 85  # JPEG: a 12 MP photo's large has 160 KB
_GAP = 2.0  # first reduce cheaply to twice the target or more, then LANCZOS: half the time, 50 dB from it alone
_JPEG_MAX_SIDE = 65_500  # libjpeg's


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


def scaled_size(width: int, height: int, shorter: int) -> tuple[int, int]:
    """Return the size whose shorter side is `shorter`, in the same proportion; never larger than it was.

    The other side is rounded half upwards; being the longer one, it cannot come out below `shorter`.
    """
    short = min(width, height)
    if short <= shorter:
        return width, height
    return (2 * width * shorter + short) // (2 * short), (2 * height * shorter + short) // (2 * short)


def load_reduced(
    data: bytes, im: ImageFile, form: str, shorter: int | None, limits: ImageLimits
) -> tuple[Image | None, tuple[int, int], int]:
    """Return the picture with this shorter side, upright and in sRGB, or None; its full size as stored; its orientation."""
    from PIL.Image import Resampling

    full = im.size
    box = _load(data, im, form, scaled_size(*full, shorter) if shorter else None, limits)
    if box is None:
        full = im.size  # a TIFF turns itself upright while it loads
    turn = exif_orientation(im)
    if not shorter:
        return None, full, turn
    profile = im.info.get("icc_profile")
    small = to_scalable_mode(im).resize(scaled_size(*full, shorter), Resampling.LANCZOS, box=box, reducing_gap=_GAP)
    small = to_display(small, profile, turn)
    return small, full, turn


def _load(
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
        elif data.count(b"\xff\xda") > MAX_SCANS:  # chance puts 400 into 28 MB that follow a picture
            raise TooLarge(f"more than {MAX_SCANS} scans")
    if form == "WEBP":
        held *= 2  # libwebp holds the canvas twice, and the frame
    if held > limits.max_pixels:
        raise TooLarge(f"{size}; the limit is {limits.max_pixels} held in memory")
    im.load()
    return box


def to_display(im: Image, profile: bytes | None, turn: int) -> Image:
    """Return the picture as it is displayed: in sRGB, upright, and without the file's metadata."""
    im = _to_upright(_to_srgb(_to_eight_bits(im), profile), turn)
    im.info.clear()  # Pillow's writers take comments and profiles from here
    return im


def exif_orientation(im: Image) -> int:
    """Return the orientation of its EXIF, 1 to 8; 1 if that is absent or damaged."""
    try:
        turn = im.getexif().get(0x0112, 1)
    except Exception:  # noqa: BLE001 - damaged EXIF around a sound picture is common, and no reason to refuse it
        return 1
    return turn if turn in range(1, 9) else 1


def to_scalable_mode(im: Image) -> Image:
    """Convert to a mode whose values may be averaged: no palette, no bits; a transparent colour becomes alpha."""
    if im.mode == "PA" or (im.mode in ("P", "1", "L", "RGB") and "transparency" in im.info):
        return im.convert("RGBA")
    return im.convert("RGB" if im.mode == "P" else "L") if im.mode in ("P", "1") else im


def _to_eight_bits(im: Image) -> Image:
    """Convert to L, RGB, RGBA or CMYK.

    16 bits lose the lower eight; 32-bit and float greys have no agreed white: their darkest is black, their brightest white.
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


def _to_srgb(im: Image, profile: bytes | None) -> Image:
    """Convert to sRGB, which a picture without a profile is taken for; a profile that does not fit is ignored."""
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


def _to_upright(im: Image, turn: int) -> Image:
    """Turn the small picture as ImageOps.exif_transpose does, without reading the EXIF again."""
    from PIL.Image import Transpose

    flips = (Transpose.FLIP_LEFT_RIGHT, Transpose.ROTATE_180, Transpose.FLIP_TOP_BOTTOM, Transpose.TRANSPOSE)
    turns = (*flips, Transpose.ROTATE_270, Transpose.TRANSVERSE, Transpose.ROTATE_90)
    return im.transpose(turns[turn - 2]) if turn > 1 else im


def encode(im: Image, *, quality: int = QUALITY) -> Variant:
    """Write a JPEG; a PNG where pixels are transparent or a side is too long for JPEG."""
    if im.mode == "RGBA" and im.getchannel("A").getextrema() == (255, 255):
        im = im.convert("RGB")
    out, form = BytesIO(), "PNG" if im.mode == "RGBA" or max(im.size) > _JPEG_MAX_SIDE else "JPEG"
    im.save(out, form, quality=quality)
    return Variant(im.width, im.height, out.getvalue(), form, out.tell())

"""Pixels of a picture: loaded no larger than needed, converted to 8-bit sRGB, scaled, turned upright, and written.

Invariant: `encode` writes only pixels: no EXIF, GPS, comments, XMP or profile.
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

QUALITY: Final = 85  # of JPEG: the large variant of a 12 MP photo has 160 KB
_GAP = 2.0  # a cheap reduction to twice the target before LANCZOS halves the time; PSNR 50 dB against LANCZOS alone
_JPEG_MAX_SIDE = 65_500  # libjpeg's limit


@dataclass(frozen=True, slots=True)
class Variant:
    """One size of a picture, in pixels as displayed; `data` is None for the original's bytes; `size` is in bytes."""

    width: int
    height: int
    data: bytes | None
    format: str
    size: int

    def __repr__(self) -> str:
        return f"<Variant {self.width}x{self.height} {self.format} {self.size} bytes>"


@dataclass(frozen=True, slots=True)
class ImageVariants:
    """The three sizes of one picture. `image_format` is Tencent's: 1 JPG, 2 GIF, 3 PNG, 4 BMP, 255 other."""

    original: Variant
    large: Variant
    thumb: Variant
    image_format: int


def scaled_size(width: int, height: int, shorter: int) -> tuple[int, int]:
    """Return the size scaled down to the shorter side `shorter`; the original size if it is not larger.

    The longer side is rounded half up, so it is at least `shorter`.
    """
    short = min(width, height)
    if short <= shorter:
        return width, height
    return (2 * width * shorter + short) // (2 * short), (2 * height * shorter + short) // (2 * short)


def load_reduced(
    data: bytes, im: ImageFile, form: str, shorter: int | None, limits: ImageLimits
) -> tuple[Image | None, tuple[int, int], int]:
    """Return the scaled picture, upright and in sRGB, with the stored size and the orientation of the original.

    The shorter side of the scaled picture has `shorter` pixels; if `shorter` is None, no picture is returned. Raises TooLarge.
    """
    from PIL.Image import Resampling

    full = im.size
    box = _load(data, im, form, scaled_size(*full, shorter) if shorter else None, limits)
    if box is None:
        full = im.size  # Pillow turns a TIFF upright while loading it
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
    """Load the pixels. A large JPEG is loaded at 1/2 to 1/8 of its size; in that case, return the box to scale."""
    size, in_memory, box = f"{im.width}x{im.height} pixels", im.width * im.height, None
    if form == "JPEG":
        if in_memory > limits.max_jpeg_pixels:
            raise TooLarge(f"the picture has {size}; the limit for a JPEG is {limits.max_jpeg_pixels} pixels in all")
        drafted = im.draft(None, (int(target[0] * _GAP), int(target[1] * _GAP))) if target else None
        box = drafted[1] if drafted else None
        if not im.info.get("progressive"):  # libjpeg keeps all coefficients of a progressive one, at any scale
            in_memory = im.width * im.height
        elif data.count(b"\xff\xda") > MAX_SCANS:  # 28 MB of random data after a picture have about 400 such markers
            raise TooLarge(f"the JPEG has more than {MAX_SCANS} scans, which is the limit")
    if form == "WEBP":
        in_memory *= 2  # libwebp keeps the canvas twice, and the frame
    if in_memory > limits.max_pixels:
        raise TooLarge(f"the picture has {size}; the limit is {limits.max_pixels} pixels in memory")
    im.load()
    return box


def to_display(im: Image, profile: bytes | None, turn: int) -> Image:
    """Return the picture as displayed: in sRGB, upright, and without the file's metadata."""
    im = _to_upright(_to_srgb(_to_eight_bits(im), profile), turn)
    im.info.clear()  # Pillow would write comments and profiles from `info`
    return im


def exif_orientation(im: Image) -> int:
    """Return the EXIF orientation of a picture, 1 to 8; 1 if it is absent or damaged."""
    try:
        turn = im.getexif().get(0x0112, 1)
    except Exception:  # noqa: BLE001 - damaged EXIF in an intact picture is common
        return 1
    return turn if turn in range(1, 9) else 1


def to_scalable_mode(im: Image) -> Image:
    """Convert to a mode whose values can be averaged: no palette, no bitmap; a transparent color becomes alpha."""
    if im.mode == "PA" or (im.mode in ("P", "1", "L", "RGB") and "transparency" in im.info):
        return im.convert("RGBA")
    return im.convert("RGB" if im.mode == "P" else "L") if im.mode in ("P", "1") else im


def _to_eight_bits(im: Image) -> Image:
    """Convert to L, RGB, RGBA or CMYK.

    The lower 8 of 16 bits are dropped. 32-bit and float grays have no defined white, so their range is scaled to 0 to 255.
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
    """Convert to sRGB; a picture without a profile, or with an invalid one, is assumed to be in sRGB."""
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
    """Turn the scaled picture as ImageOps.exif_transpose does, without reading the EXIF again."""
    from PIL.Image import Transpose

    flips = (Transpose.FLIP_LEFT_RIGHT, Transpose.ROTATE_180, Transpose.FLIP_TOP_BOTTOM, Transpose.TRANSPOSE)
    turns = (*flips, Transpose.ROTATE_270, Transpose.TRANSVERSE, Transpose.ROTATE_90)
    return im.transpose(turns[turn - 2]) if turn > 1 else im


def encode(im: Image, *, quality: int = QUALITY) -> Variant:
    """Encode a picture as JPEG, or as PNG if it has transparent pixels or a side that is too long for JPEG."""
    if im.mode == "RGBA" and im.getchannel("A").getextrema() == (255, 255):
        im = im.convert("RGB")
    out, form = BytesIO(), "PNG" if im.mode == "RGBA" or max(im.size) > _JPEG_MAX_SIDE else "JPEG"
    im.save(out, form, quality=quality)
    return Variant(im.width, im.height, out.getvalue(), form, out.tell())

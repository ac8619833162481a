"""Generated pictures for tests: every format, mode and orientation, and hostile files. Equal seeds give equal files."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Iterator
from functools import cache

from PIL import Image, ImageCms, ImageDraw

SECRET_PLACE = b"48.8584N 2.2945E"
"""Text in every comment, tag and profile of these pictures. No variant may contain it."""

MODES: dict[str, tuple[str, ...]] = {
    "JPEG": ("L", "RGB", "CMYK"),
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "WEBP": ("RGB", "RGBA"),
    "GIF": ("L", "P", "RGBA"),
    "AVIF": ("RGB", "RGBA"),
    "BMP": ("1", "L", "P", "RGB"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"),
    "HEIF": ("RGB", "RGBA"),
}
FASTEST: dict[str, dict[str, object]] = {
    "PNG": {"compress_level": 1},
    "WEBP": {"method": 0},
    "AVIF": {"speed": 10},
    "HEIF": {"enc_params": {"preset": "ultrafast"}},
}
"""Options of the encoders that take the least time: the tests are about reading these files."""

COLOURS = {"red": (220, 30, 30), "green": (30, 180, 60), "blue": (40, 60, 220), "white": (250, 250, 250)}
"""Colours of the four quarters of a test picture, row by row from the upper left."""


def quarters(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """Return a picture of four colours that shows a rotation, a swapped channel or an inversion. RGBA has a transparent rim."""
    im = Image.new("RGB", (width, height), COLOURS["white"])
    half, middle = width // 2, height // 2
    im.paste(COLOURS["red"], (0, 0, half, middle))
    im.paste(COLOURS["green"], (half, 0, width, middle))
    im.paste(COLOURS["blue"], (0, middle, half, height))
    match mode:
        case "RGBA" | "LA":
            alpha = Image.new("L", im.size, 0)
            rim = min(width, height) // 10
            ImageDraw.Draw(alpha).rectangle((rim, rim, width - rim - 1, height - rim - 1), 255)
            im = im.convert(mode)
            im.putalpha(alpha)
            return im
        case "P":
            return im.quantize(16)
        case "I;16":
            return im.convert("L").convert("I").point(lambda value: value * 257).convert("I;16")
        case "I" | "F":
            return im.convert("L").convert(mode)
        case _:
            return im.convert(mode)


def stored(im: Image.Image, turn: int) -> Image.Image:
    """Return the pixels as a camera in this orientation stores them."""
    turns = Image.Transpose
    inverse = {
        2: turns.FLIP_LEFT_RIGHT,
        3: turns.ROTATE_180,
        4: turns.FLIP_TOP_BOTTOM,
        5: turns.TRANSPOSE,
        6: turns.ROTATE_90,
        7: turns.TRANSVERSE,
        8: turns.ROTATE_270,
    }
    return im.transpose(inverse[turn]) if turn > 1 else im


def exif(turn: int) -> Image.Exif:
    """Return a camera's EXIF data: orientation, model, place."""
    made = Image.Exif()
    made[0x0112] = turn
    made[0x010E] = SECRET_PLACE.decode()
    made.get_ifd(0x8825).update({1: "N", 2: (48.0, 51.0, 30.24), 3: "E", 4: (2.0, 17.0, 40.2), 29: SECRET_PLACE.decode()})
    return made


def encoded(im: Image.Image, form: str, *, turn: int = 1, profile: bytes | None = None, told: bool = False) -> bytes:
    """Encode the picture as a file; with `told`, with a camera's metadata."""
    out = io.BytesIO()
    options = dict(FASTEST.get(form, {}))
    if form == "HEIF":
        import pillow_heif

        pillow_heif.register_heif_opener()
    if form in ("JPEG", "WEBP", "AVIF", "HEIF"):
        options["quality"] = 95
    if told and form in ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "HEIF"):
        options["exif"] = exif(turn).tobytes()
    elif turn != 1:
        only = Image.Exif()
        only[0x0112] = turn
        options["exif"] = only.tobytes()
    if profile:
        options["icc_profile"] = profile
    if told and form in ("JPEG", "WEBP"):
        options["xmp"] = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>" + SECRET_PLACE + b"</x:xmpmeta>"
    if told and form in ("JPEG", "GIF"):
        options["comment"] = SECRET_PLACE
    im.save(out, form, **options)
    data = out.getvalue()
    if told and form == "PNG":
        data = data[:33] + png_chunk(b"tEXt", b"Comment\0" + SECRET_PLACE) + data[33:]
    return data


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def moving(form: str, frames: int, width: int, height: int) -> bytes:
    """Return an endless animation of different frames, a tenth of a second each."""
    pictures = [quarters(width, height).rotate(7 * number) for number in range(frames)]
    for number, picture in enumerate(pictures):
        ImageDraw.Draw(picture).rectangle((number, 0, number + 3, 3), (number % 256, 0, 255))
    if form == "GIF":  # the encoder's own reduction of colours takes ten times as long
        pictures = [picture.quantize(method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE) for picture in pictures]
    out = io.BytesIO()
    pictures[0].save(out, form, save_all=True, append_images=pictures[1:], duration=100, loop=0)
    return out.getvalue()


def huge_png(side: int = 20_000) -> bytes:
    """Return a valid PNG of side × side white pixels in about 50 KB."""
    deflate = zlib.compressobj(9)
    row = b"\0" + b"\xff" * (side // 8)
    body = b"".join([deflate.compress(row * 100) for _ in range(side // 100)]) + deflate.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", body) + png_chunk(b"IEND", b"")


def polyglots() -> dict[str, bytes]:
    """Return pictures that a browser could interpret as a page, and pages that claim to be pictures."""
    page = b"<html><script>alert(document.domain)</script></html>"
    drawing = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"
    gif = encoded(quarters(300, 300, "P"), "GIF")
    jpeg = encoded(quarters(300, 300), "JPEG")
    return {
        "a page": page,
        "a drawing": drawing,
        "a drawing with a declaration": b"<?xml version='1.0'?>" + drawing,
        "a page after a GIF": gif + page,
        "a page that begins as a GIF": b"GIF89a/*" + page + b"*/=1;",
        "a page in a JPEG's comment": jpeg[:2] + b"\xff\xfe" + struct.pack(">H", len(page) + 2) + page + jpeg[2:],
        "a drawing after a JPEG": jpeg + drawing,
        "a page after a PNG": encoded(quarters(300, 300), "PNG") + page,
    }


def damaged(seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """Yield valid pictures of every format with bytes changed, removed, repeated or truncated."""
    rng = random.Random(seed)
    for _ in range(count):
        form, data = rng.choice(_sound())
        yield form, harmed(rng, data)


@cache
def _sound() -> list[tuple[str, bytes]]:
    still = [(form, encoded(quarters(230, 210), form, told=True)) for form in MODES]
    return still + [(f"moving {form}", moving(form, 5, 230, 210)) for form in ("GIF", "WEBP", "PNG")]


def harmed(rng: random.Random, data: bytes) -> bytes:
    made = bytearray(data)
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(made))
        match rng.randrange(4):
            case 0:
                made[at] = rng.randrange(256)
            case 1:
                del made[at : at + rng.randrange(1, 64)]
            case 2:
                made[at:at] = made[at : at + rng.randrange(1, 64)]
            case _:
                made[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"))
        if len(made) < 2:
            break
    return bytes(made[: rng.randrange(1, len(made) + 1)] if rng.random() < 0.2 else made)


@cache
def hostile() -> list[tuple[str, bytes]]:
    """Return the hostile files of R12, which are made once."""
    return make_hostile()


def make_hostile() -> list[tuple[str, bytes]]:
    """Make the hostile files of R12: decompression bombs, many frames, pages in pictures, and damaged files."""
    scans = encoded(quarters(300, 300), "JPEG")
    bombs = {
        "20000x20000": huge_png(),
        "65535x65535 GIF": b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b",\0\0\0\0\xff\xff\xff\xff\0\2\2D\1\0;",
        "201 frames": moving("GIF", 201, 230, 210),
        "201 large frames": moving("GIF", 201, 640, 640),
        "a BMP that says it is larger": _larger_bmp(),
        "a JPEG of 5000 scans": scans[:-2] + scans[scans.index(b"\xff\xda") : -2] * 5000,
        "a text chunk that unpacks to 200 MB": _text_bomb(),
    }
    return [*bombs.items(), *polyglots().items(), *((f"damaged {form}", data) for form, data in damaged(12, 60))]


def _larger_bmp() -> bytes:
    data = bytearray(encoded(quarters(64, 64), "BMP"))
    data[18:26] = struct.pack("<ii", 2**31 - 1, 2**31 - 1)
    return bytes(data)


def _text_bomb() -> bytes:
    data = encoded(quarters(300, 300), "PNG")
    packed = zlib.compress(bytes(200_000_000), 9)
    return data[:33] + png_chunk(b"zTXt", b"Comment\0\0" + packed) + data[33:]

"""Tests of files that are not pictures: each is refused with its reason (F05)."""

from __future__ import annotations

import io
import struct
import sys

import pytest
from PIL import Image

from tests.support import image_factory
from tests.support.picture_checks import corners, near
from timim import EmptyFile, NotAnImage, TooLarge
from timim.media import ImageLimits, image_variants, make_variants, sniff_mime_type

BAD = {
    "a page": b"<html></html>",
    "a drawing": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "a sound": b"RIFF\x24\0\0\0WAVEfmt ",
    "a JPEG's first bytes": b"\xff\xd8\xff\xe0",
    "a PNG cut short": image_factory.encoded(image_factory.quarters(300, 300), "PNG")[:60],
    "a JPEG cut short": image_factory.encoded(image_factory.quarters(300, 300), "JPEG")[:900],
    "a GIF of no size": b"GIF89a" + struct.pack("<HHBBB", 0, 0, 0, 0, 0) + b"\x3b",
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.requirement("F05")
def test_a_file_that_is_not_a_picture_is_refused(bad: str) -> None:
    with pytest.raises(NotAnImage) as caught:
        make_variants(BAD[bad])
    assert caught.value.code == 6031


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF"])
@pytest.mark.requirement("F05")
def test_a_picture_without_its_end_is_refused_with_the_reason(form: str) -> None:
    data = image_factory.encoded(image_factory.quarters(300, 300), form)
    with pytest.raises(NotAnImage, match=r"(its end|the end of the picture) is missing; save it again"):
        make_variants(data[: len(data) * 2 // 3])


@pytest.mark.parametrize("brands", [b"avis", b"mif1avifmiaf", b"msf1avis", b"avifmif1"])
def test_an_avif_is_recognized_by_any_of_its_brands(brands: bytes) -> None:
    assert sniff_mime_type(struct.pack(">I4s", 12 + len(brands), b"ftyp") + brands[:4] + bytes(4) + brands[4:]) == "image/avif"


def test_the_brands_of_a_film_are_not_those_of_a_picture() -> None:
    assert sniff_mime_type(b"\0\0\0\x18ftypisom\0\0\2\0isommp41" + b"avif") == "video/mp4"


@pytest.mark.requirement("F05", "F06")
def test_an_animated_avif_is_a_picture_whose_first_frame_makes_the_variants() -> None:
    colours = ("red", "green", "blue")
    frames = [Image.new("RGB", (640, 480), colour) for colour in colours]
    out = io.BytesIO()
    frames[0].save(out, "AVIF", save_all=True, append_images=frames[1:], duration=100, speed=10)
    made = make_variants(out.getvalue())
    assert (made.thumb.width, made.thumb.height, made.thumb.format, made.image_format) == (264, 198, "JPEG", 255)
    assert near(corners(made.thumb.data or b"")[0], (255, 0, 0), 12)


@pytest.mark.requirement("F05")
async def test_empty_and_too_large_pictures_raise_different_errors() -> None:
    with pytest.raises(EmptyFile) as empty:
        await image_variants(b"")
    with pytest.raises(TooLarge) as large:
        await image_variants(image_factory.encoded(image_factory.quarters(300, 300), "BMP"), limits=ImageLimits(max_bytes=1000))
    assert (empty.value.code, large.value.code) == (7006, 7005)


@pytest.mark.requirement("F05")
def test_heic_without_its_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    data = image_factory.encoded(image_factory.quarters(300, 300), "HEIF")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(NotAnImage, match=r"timim\[heic\]"):
        make_variants(data)

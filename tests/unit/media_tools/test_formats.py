"""Tests of files that are not pictures: each is refused with its reason (F05)."""

from __future__ import annotations

import struct
import sys

import pytest

from tests.support import image_factory
from timim import EmptyFile, NotAnImage, TooLarge
from timim.media import ImageLimits, image_variants, make_variants

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

"""Tests of pictures of kinds that are not supported: the error names the kind and the remedy."""

from __future__ import annotations

import io
import struct

import pytest
from PIL import Image

from tests.support import image_factory
from timim import NotAnImage
from timim.media import make_variants


def saved(form: str) -> bytes:
    out = io.BytesIO()
    Image.new("1" if form == "MSP" else "RGB", (64, 64)).save(out, form)
    return out.getvalue()


def dng() -> bytes:
    """Return a TIFF with the tag that makes it a DNG."""
    out = io.BytesIO()
    Image.new("RGB", (64, 64)).save(out, "TIFF", tiffinfo={50706: bytes((1, 4, 0, 0)), 271: "Maker"})
    return out.getvalue()


def nef() -> bytes:
    """Return a TIFF of a camera whose first picture is a reduced one."""
    out = io.BytesIO()
    Image.new("RGB", (64, 64)).save(out, "TIFF", tiffinfo={254: 1, 271: "Maker"})
    return out.getvalue()


KINDS = {
    "ICO": saved("ICO"),
    "JPEG 2000": saved("JPEG2000"),
    "TGA": saved("TGA"),
    "PPM": saved("PPM"),
    "PCX": saved("PCX"),
    "ICNS": saved("ICNS"),
    "DDS": saved("DDS"),
    "QOI": saved("QOI"),
    "SGI": saved("SGI"),
    "EPS": saved("EPS"),
    "MSP": saved("MSP"),
    "PSD of Photoshop": b"8BPS\0\1" + bytes(100),
    "JPEG XL": b"\xff\x0a" + bytes(100),
    "OpenEXR": b"v/1\x01" + bytes(100),
    "SVG": b"\xef\xbb\xbf<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>",
    "the raw data of a Canon camera": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(100),
    "the raw data of a Fujifilm camera": b"FUJIFILMCCD-RAW 0201" + bytes(100),
    "the raw data of a camera": dng(),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.requirement("F05")
def test_the_error_names_the_kind_of_picture_that_is_not_supported(kind: str) -> None:
    words = f"this kind of picture is not supported: {kind}; send a JPEG or PNG, or the file as a FileElem"
    with pytest.raises(NotAnImage, match=words):
        make_variants(KINDS[kind])


@pytest.mark.parametrize("data", [nef(), b"II*\0\x10\0\0\0CR\2\0" + bytes(300)], ids=["NEF", "CR2"])
def test_the_preview_in_a_cameras_raw_data_is_not_sent_as_the_picture(data: bytes) -> None:
    with pytest.raises(NotAnImage, match="not supported: the raw data of a camera"):
        make_variants(data)


@pytest.mark.requirement("F05")
def test_a_targa_without_its_signature_is_recognized() -> None:
    header = struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, 8, 8, 24, 0)
    with pytest.raises(NotAnImage, match="not supported: TGA;"):
        make_variants(header + bytes(192))


@pytest.mark.parametrize(
    "data",
    [b"Points of interest", b"#define WIDTH 1", b"\n", b"P", bytes(1000), b"<html><svg/></html>", b"%PDF-1.4"],
)
def test_other_content_is_not_called_a_picture(data: bytes) -> None:
    with pytest.raises(NotAnImage, match="the content is not a picture"):
        make_variants(data)


def test_a_sound_and_a_film_are_named() -> None:
    with pytest.raises(NotAnImage, match="not a picture but video/mp4"):
        make_variants(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(100))


def test_a_photo_in_tiff_with_the_name_of_its_camera_is_a_picture() -> None:
    out = io.BytesIO()
    image_factory.quarters(300, 300).save(out, "TIFF", tiffinfo={271: "Maker"})
    assert min(make_variants(out.getvalue()).thumb.width, 198) == 198

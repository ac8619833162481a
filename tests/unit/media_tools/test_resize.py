"""Tests of the three sizes of a picture (F05, F06): all formats, modes and orientations, and no size above the original."""

from __future__ import annotations

import pytest
from PIL import Image

from tests.support import image_factory
from tests.support.picture_checks import colour_at, corners, made_of, near, opened
from timim import ImageCompression
from timim.media import compressed_image, make_variants

MATRIX = [(form, mode) for form, modes in image_factory.MODES.items() for mode in modes]


FORMAT_NUMBERS = {"JPEG": 1, "GIF": 2, "PNG": 3, "BMP": 4}


GREYS = [round(0.299 * r + 0.587 * g + 0.114 * b) for r, g, b in image_factory.COLOURS.values()]


def expected(mode: str) -> list[tuple[int, ...]]:
    if mode in ("L", "LA", "I;16"):
        return [(grey, grey, grey) for grey in GREYS]
    if mode in ("I", "F"):  # these modes define no white: the darkest value becomes black, the brightest one white
        low, high = min(GREYS), max(GREYS)
        return [(level, level, level) for level in (round((grey - low) * 255 / (high - low)) for grey in GREYS)]
    return list(image_factory.COLOURS.values())


@pytest.mark.parametrize("form, mode", MATRIX)
@pytest.mark.requirement("F05", "F06")
def test_each_format_and_mode_keeps_its_colours_and_transparency(form: str, mode: str) -> None:
    data = image_factory.encoded(image_factory.quarters(800, 900, mode), form)
    made = make_variants(data)
    assert (made.original.width, made.original.height, made.original.size) == (800, 900, len(data))
    assert made.original.data is None
    assert made.image_format == FORMAT_NUMBERS.get(form, 255)
    for variant, size in zip(made_of(made), ((720, 810), (198, 223)), strict=True):
        im = opened(variant)
        assert im.size == size
        assert im.mode in ("L", "RGB", "RGBA")
        if mode in ("RGBA", "LA"):
            assert im.mode == "RGBA"
            assert im.getpixel((2, 2))[3] == 0  # type: ignore[index]
            assert im.getpixel((size[0] // 3, size[1] // 3))[3] == 255  # type: ignore[index]
        if mode != "1":  # dithered: single pixels have no exact colours
            for found, wanted in zip(corners(variant), expected(mode), strict=True):
                assert near(found, wanted, 24), (form, mode, found, wanted)


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
@pytest.mark.requirement("F06")
def test_each_orientation_is_shown_upright(form: str, turn: int) -> None:
    upright = image_factory.quarters(800, 900)
    made = make_variants(image_factory.encoded(image_factory.stored(upright, turn), form, turn=turn))
    assert (made.original.width, made.original.height) == (800, 900)
    for variant in made_of(made):
        for found, wanted in zip(corners(variant), image_factory.COLOURS.values(), strict=True):
            assert near(found, wanted, 24), (form, turn)
        assert opened(variant).getexif().get(0x0112, 1) == 1


SIZES = [
    ((197, 400), (197, 400), (197, 400)),
    ((198, 400), (198, 400), (198, 400)),
    ((199, 400), (199, 400), (198, 398)),
    ((398, 199), (398, 199), (396, 198)),
    ((719, 900), (719, 900), (198, 248)),
    ((720, 1440), (720, 1440), (198, 396)),
    ((1442, 721), (1440, 720), (396, 198)),
    ((721, 721), (720, 720), (198, 198)),
    ((10, 5000), (10, 5000), (10, 5000)),
    ((1, 1), (1, 1), (1, 1)),
    ((5000, 730), (4932, 720), (1356, 198)),
]


@pytest.mark.parametrize("form", list(image_factory.MODES))
@pytest.mark.parametrize("size, large, thumb", SIZES)
@pytest.mark.requirement("F06")
def test_the_shorter_side_is_720_and_198_and_never_enlarged(
    form: str, size: tuple[int, int], large: tuple[int, int], thumb: tuple[int, int]
) -> None:
    if form == "HEIF" and min(size) < 64:
        pytest.skip("HEVC cannot encode a picture this small")
    made = make_variants(image_factory.encoded(image_factory.quarters(*size), form))
    assert (made.original.width, made.original.height) == size
    for variant, wanted in ((made.large, large), (made.thumb, thumb)):
        assert (variant.width, variant.height) == wanted
        assert (variant.data is None) == (wanted == size)
        if variant.data is not None:
            assert opened(variant.data).size == wanted
            assert variant.size == len(variant.data)


@pytest.mark.requirement("F06")
def test_colour_profiles_are_applied() -> None:
    """Test a profile that swaps red and green: red in the file is shown as green."""
    plain = image_factory.quarters(300, 300)
    same = make_variants(image_factory.encoded(plain, "PNG", profile=image_factory.srgb_profile())).thumb.data
    assert same is not None
    assert near(colour_at(same, 0.25, 0.25), image_factory.COLOURS["red"], 8)
    swapped = image_factory.srgb_profile().replace(b"rXYZ", b"xXYZ").replace(b"gXYZ", b"rXYZ").replace(b"xXYZ", b"gXYZ")
    other = make_variants(image_factory.encoded(plain, "PNG", profile=swapped)).thumb.data
    assert other is not None
    red, green, blue = image_factory.COLOURS["red"]
    assert near(colour_at(other, 0.25, 0.25), (green, red, blue), 8)
    for variant in (same, other):
        assert "icc_profile" not in opened(variant).info


@pytest.mark.requirement("F06")
def test_a_transparent_border_leaves_no_colour_fringe() -> None:
    """Test with black transparent pixels, which would darken the edge of the red if they were averaged in."""
    im = Image.new("RGBA", (600, 600), (0, 0, 0, 0))
    im.paste((255, 40, 40, 255), (0, 0, 333, 600))
    thumb = make_variants(image_factory.encoded(im, "PNG")).thumb.data
    assert thumb is not None
    small = opened(thumb)
    rim = [small.getpixel((x, 99)) for x in range(small.width)]
    seen = [pixel for pixel in rim if isinstance(pixel, tuple) and pixel[3] > 60]
    assert len(seen) > 90
    assert all(pixel[0] > 235 for pixel in seen)


@pytest.mark.parametrize("form", list(image_factory.MODES))
@pytest.mark.requirement("F06")
def test_a_variant_contains_no_camera_metadata(form: str) -> None:
    data = image_factory.encoded(
        image_factory.quarters(800, 900), form, turn=1, told=True, profile=image_factory.srgb_profile()
    )
    if form != "BMP":  # BMP holds no text
        assert image_factory.SECRET_PLACE in data
    for variant in made_of(make_variants(data)):
        assert image_factory.SECRET_PLACE not in variant
        im = opened(variant)
        assert not im.getexif()
        assert not {"exif", "xmp", "comment", "icc_profile", "Comment"} & set(im.info)


@pytest.mark.parametrize("level, shorter", [(ImageCompression.HIGH, 960), (ImageCompression.HD, 1440)])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
@pytest.mark.requirement("F05")
async def test_levels_bound_the_original_and_take_its_metadata(form: str, level: ImageCompression, shorter: int) -> None:
    data = image_factory.encoded(image_factory.quarters(1500, 1600), form, told=True)
    smaller = await compressed_image(data, level)
    if smaller is not data:
        assert len(smaller) < len(data)
        assert min(opened(smaller).size) == shorter
        assert image_factory.SECRET_PLACE not in smaller
    assert await compressed_image(data, ImageCompression.ORIGINAL) == data


@pytest.mark.requirement("F05")
async def test_a_level_never_adds_bytes_or_pixels() -> None:
    photo = image_factory.encoded(image_factory.quarters(1500, 1600), "BMP")
    high, hd = [await compressed_image(photo, level) for level in (ImageCompression.HIGH, ImageCompression.HD)]
    assert len(high) < len(hd) < len(photo)
    small = image_factory.encoded(image_factory.quarters(300, 300), "PNG")
    assert await compressed_image(small, ImageCompression.HIGH) == small

"""The three sizes of a picture (F05, F06): every format, mode and orientation, and no size that grows."""

from __future__ import annotations

import io
import struct

import pytest
from PIL import Image

from tests.support import image_factory
from timim import EmptyFile, ImageCompression, MediaError, NotAnImage, TooLarge
from timim.media import ImageLimits, ImageVariants, compressed_image, image_variants, make_variants, strip_location

MATRIX = [(form, mode) for form, modes in image_factory.MODES.items() for mode in modes]
FORMAT_NUMBERS = {"JPEG": 1, "GIF": 2, "PNG": 3, "BMP": 4}


def opened(data: bytes) -> Image.Image:
    im = Image.open(io.BytesIO(data))
    im.load()
    return im


def colour_at(data: bytes, x: float, y: float) -> tuple[int, ...]:
    im = opened(data).convert("RGB")
    found = im.getpixel((int(x * im.width), int(y * im.height)))
    assert isinstance(found, tuple)
    return tuple(int(part) for part in found)


def near(found: tuple[int, ...], wanted: tuple[int, ...], slack: int) -> bool:
    return all(abs(one - other) <= slack for one, other in zip(found, wanted, strict=True))


def made_of(made: ImageVariants) -> tuple[bytes, bytes]:
    assert made.large.data is not None
    assert made.thumb.data is not None
    return made.large.data, made.thumb.data


def corners(data: bytes) -> list[tuple[int, ...]]:
    return [colour_at(data, x, y) for y in (0.25, 0.75) for x in (0.25, 0.75)]


GREYS = [round(0.299 * r + 0.587 * g + 0.114 * b) for r, g, b in image_factory.COLOURS.values()]


def expected(mode: str) -> list[tuple[int, ...]]:
    if mode in ("L", "LA", "I;16"):
        return [(grey, grey, grey) for grey in GREYS]
    if mode in ("I", "F"):  # no agreed white: the darkest is black, the brightest white
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
        if mode != "1":  # dithered: its dots are no colours
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
        pytest.skip("HEVC codes no picture of so few pixels: none can be made")
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
    """One whose red primary is green: what its file calls red is shown green."""
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
    """Clear pixels are black here; averaging them in would darken the rim of the red."""
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
    if form != "BMP":  # which holds no text
        assert image_factory.SECRET_PLACE in data
    for variant in made_of(make_variants(data)):
        assert image_factory.SECRET_PLACE not in variant
        im = opened(variant)
        assert not im.getexif()
        assert not {"exif", "xmp", "comment", "icc_profile", "Comment"} & set(im.info)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("turn", [1, 6])
@pytest.mark.requirement("F05")
async def test_location_metadata_can_be_stripped(form: str, turn: int) -> None:
    data = image_factory.encoded(
        image_factory.stored(image_factory.quarters(300, 280), turn),
        form,
        turn=turn,
        told=True,
        profile=image_factory.srgb_profile(),
    )
    if form == "JPEG":  # a second picture behind the first, as phones write it, with a place of its own
        data += image_factory.encoded(image_factory.quarters(64, 64), "JPEG", told=True)
    stripped = await strip_location(data)
    assert image_factory.SECRET_PLACE in data
    assert image_factory.SECRET_PLACE not in stripped
    before, after = opened(data), opened(stripped)
    assert after.tobytes() == before.tobytes()  # not encoded anew
    assert after.info.get("icc_profile") == before.info.get("icc_profile")
    assert dict(after.getexif()) == ({0x0112: turn} if turn > 1 else {})
    assert make_variants(stripped).original.width == 300
    assert await strip_location(stripped) == stripped


@pytest.mark.requirement("F05")
async def test_stripping_progressive_and_animated_pictures_removes_only_metadata() -> None:
    out = io.BytesIO()
    image_factory.quarters(300, 280).save(out, "JPEG", progressive=True, exif=image_factory.exif(1))
    stripped = await strip_location(out.getvalue())
    assert image_factory.SECRET_PLACE not in stripped
    assert opened(stripped).tobytes() == opened(out.getvalue()).tobytes()
    for form in ("PNG", "WEBP"):
        data = image_factory.moving(form, 5, 300, 280)
        assert getattr(opened(await strip_location(data)), "n_frames", 1) == 5


@pytest.mark.parametrize("form", ["GIF", "TIFF", "BMP", "AVIF", "HEIF"])
@pytest.mark.requirement("F05")
async def test_a_format_that_cannot_be_stripped_is_an_error(form: str) -> None:
    with pytest.raises(MediaError, match="JPEG, PNG and WebP") as caught:
        await strip_location(image_factory.encoded(image_factory.quarters(64, 64), form))
    assert caught.value.code == 6022


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


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
@pytest.mark.requirement("F06")
def test_a_small_animation_stays_animated_in_every_size(form: str) -> None:
    made = make_variants(image_factory.moving(form, 8, 760, 730))
    for variant, size in ((made.large, (750, 720)), (made.thumb, (206, 198))):
        assert (variant.width, variant.height) == size
        if variant is made.large and variant.format != form:
            continue  # more bytes than the original: the first frame
        assert variant.format == form
        assert variant.data is not None
        assert variant.size < max(made.original.size, 128 * 1024)
        moving = Image.open(io.BytesIO(variant.data))
        assert (moving.n_frames, moving.size, moving.info.get("loop")) == (8, size, 0)  # type: ignore[attr-defined]
        moving.seek(3)
        moving.load()
        assert moving.info["duration"] == 100
        assert moving.convert("RGB").getpixel((5, 5)) != opened(variant.data).convert("RGB").getpixel((150, 150))


@pytest.mark.requirement("F06")
def test_an_animation_over_the_limits_becomes_its_first_frame() -> None:
    for data in (image_factory.moving("GIF", 201, 220, 210), image_factory.moving("GIF", 40, 1300, 1200)):
        made = make_variants(data)
        assert made.thumb.format == "JPEG"
        assert near(corners(made.thumb.data or b"")[0], image_factory.COLOURS["red"], 40)


@pytest.mark.requirement("F06")
def test_an_animation_of_too_many_frames_is_refused() -> None:
    with pytest.raises(TooLarge, match="frames"):
        make_variants(image_factory.moving("GIF", 12, 20, 20), limits=ImageLimits(max_frames=10))


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
async def test_empty_and_too_large_are_told_apart() -> None:
    with pytest.raises(EmptyFile) as empty:
        await image_variants(b"")
    with pytest.raises(TooLarge) as large:
        await image_variants(image_factory.encoded(image_factory.quarters(300, 300), "BMP"), limits=ImageLimits(max_bytes=1000))
    assert (empty.value.code, large.value.code) == (7006, 7005)


@pytest.mark.requirement("F05")
def test_heic_without_its_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    data = image_factory.encoded(image_factory.quarters(300, 300), "HEIF")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(NotAnImage, match=r"timim\[heic\]"):
        make_variants(data)

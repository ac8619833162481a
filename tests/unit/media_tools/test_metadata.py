"""Tests of stripping a picture's metadata (F05): place and camera are removed, the pixels stay."""

from __future__ import annotations

import io

import pytest

from tests.support import image_factory
from tests.support.picture_checks import opened
from timim import MediaError
from timim.media import make_variants, strip_location


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
    if form == "JPEG":  # phones append a second picture with its own place to the first one
        data += image_factory.encoded(image_factory.quarters(64, 64), "JPEG", told=True)
    stripped = await strip_location(data)
    assert image_factory.SECRET_PLACE in data
    assert image_factory.SECRET_PLACE not in stripped
    before, after = opened(data), opened(stripped)
    assert after.tobytes() == before.tobytes()  # not encoded again
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
    with pytest.raises(MediaError, match="JPEG, PNG or WebP") as caught:
        await strip_location(image_factory.encoded(image_factory.quarters(64, 64), form))
    assert caught.value.code == 6022

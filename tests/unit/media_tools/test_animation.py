"""Tests of animations (F06): small ones stay animated in every size, others become their first frame."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from tests.support import image_factory
from tests.support.picture_checks import corners, near, opened
from timim import TooLarge
from timim.media import ImageLimits, make_variants


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
@pytest.mark.requirement("F06")
def test_a_small_animation_stays_animated_in_every_size(form: str) -> None:
    made = make_variants(image_factory.moving(form, 8, 760, 730))
    for variant, size in ((made.large, (750, 720)), (made.thumb, (206, 198))):
        assert (variant.width, variant.height) == size
        if variant is made.large and variant.format != form:
            continue  # the animation would have more bytes than the original, so this is the first frame
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


def frame_of_a_moving_square(number: int) -> Image.Image:
    frame = Image.new("RGBA", (1000, 900), (0, 0, 0, 0))
    frame.paste((255, 0, 0, 255), (200 + 200 * number, 200, 400 + 200 * number, 400))
    frame.paste((0, 0, 0, 255), (0, 800, 1000, 900))
    return frame


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
@pytest.mark.requirement("F06")
def test_a_clear_background_of_an_animation_stays_clear_in_each_frame(form: str) -> None:
    frames = [frame_of_a_moving_square(number) for number in range(3)]
    out = io.BytesIO()
    frames[0].save(
        out, form, save_all=True, append_images=frames[1:], duration=100, **({"disposal": 2} if form == "GIF" else {})
    )
    made = make_variants(out.getvalue())
    for variant, scale in ((made.large, 0.8), (made.thumb, 0.22)):
        assert variant.format == form
        moving = Image.open(io.BytesIO(variant.data or b""))
        for number in range(3):
            moving.seek(number)
            shown = moving.convert("RGBA")

            def alpha_at(x: int, y: int, shown: Image.Image = shown, scale: float = scale) -> object:
                return shown.getchannel("A").getpixel((int(x * scale), int(y * scale)))

            assert [alpha_at(300 + 200 * at, 300) for at in range(3)] == [255 if at == number else 0 for at in range(3)]
            assert alpha_at(500, 50) == 0
            assert alpha_at(500, 850) == 255, "black is not taken for clear"

"""The three sizes of a picture (F05, F06): the shorter side is 720 and 198, and nothing is ever enlarged."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from timim import NotAnImage
from timim.media import make_variants


def picture(width: int, height: int, kind: str = "PNG", mode: str = "RGB") -> bytes:
    out = io.BytesIO()
    Image.new(mode, (width, height), 1).save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize(
    "size, large, thumb",
    [
        ((197, 400), (197, 400), (197, 400)),
        ((198, 400), (198, 400), (198, 400)),
        ((398, 199), (398, 199), (396, 198)),
        ((720, 1440), (720, 1440), (198, 396)),
        ((1442, 721), (1440, 720), (396, 198)),
        ((10, 2000), (10, 2000), (10, 2000)),
        ((1, 1), (1, 1), (1, 1)),
    ],
)
def test_f06_the_shorter_side_is_720_and_198_and_never_grows(
    size: tuple[int, int], large: tuple[int, int], thumb: tuple[int, int]
) -> None:
    made = make_variants(picture(*size))
    assert (made.original.width, made.original.height) == size
    assert made.original.data is None
    assert (made.large.width, made.large.height) == large
    assert (made.thumb.width, made.thumb.height) == thumb
    for variant in (made.large, made.thumb):
        if variant.data is not None:
            with Image.open(io.BytesIO(variant.data)) as opened:
                assert opened.size == (variant.width, variant.height)
        else:
            assert (variant.width, variant.height) == size


@pytest.mark.parametrize("kind, mode", [("JPEG", "CMYK"), ("PNG", "I;16"), ("PNG", "RGBA"), ("GIF", "P"), ("PNG", "1")])
def test_f06_every_mode_of_picture_gets_its_sizes(kind: str, mode: str) -> None:
    made = make_variants(picture(800, 900, kind, mode))
    assert min(made.large.width, made.large.height) == 720
    assert min(made.thumb.width, made.thumb.height) == 198


@pytest.mark.parametrize("bad", [b"<html></html>", b"<svg xmlns='http://www.w3.org/2000/svg'/>", picture(300, 300)[:60]])
def test_f05_what_is_no_picture_is_refused(bad: bytes) -> None:
    with pytest.raises(NotAnImage):
        make_variants(bad)

"""Checks of generated pictures: their pixels, their colours, and the bytes of each variant."""

from __future__ import annotations

import io

from PIL import Image

from timim.media import ImageVariants


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

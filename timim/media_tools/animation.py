"""Animations: counting of frames, and smaller variants.

Invariant: a variant is animated only if all frames were decoded within the limits and it is smaller than the original (or
small anyway); otherwise it is the first frame. It has the format of the original, so that the same viewers can show it.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from ..errors import TooLarge
from .formats import ImageLimits, count_gif_frames, open_picture
from .resize import Variant, scaled_size, to_display, to_scalable_mode

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

MAX_FRAMES = 200  # frames of an animated variant; with the two limits below, a variant takes about a second of CPU time
_MAX_DECODED = 60_000_000  # pixels of all original frames
_MAX_MADE = 12_000_000  # pixels of all frames of a variant, which need 48 MB until they are written
_SMALL_BYTES = 128 * 1024  # always allowed for a variant, because a drawing with few colours grows when it is scaled
_DELAY_MS: Final = 100  # of a frame without a delay, as in browsers
_OPAQUE = 128  # alpha from which a pixel of a GIF is opaque
_FORMATS: Final = frozenset({"GIF", "WEBP", "PNG"})


def count_frames(data: bytes, im: ImageFile, form: str, limits: ImageLimits) -> int:
    """Return the number of frames, or 1 if the format has pages instead of frames. Raises TooLarge above the limit."""
    frames = count_gif_frames(data, limits.max_frames) if form == "GIF" else 1
    if form in ("PNG", "WEBP", "AVIF"):
        frames = int(getattr(im, "n_frames", 1))  # the number in the file's header
    if frames > limits.max_frames:
        raise TooLarge(f"the animation has more than {limits.max_frames} frames, which is the limit")
    return frames


def animated_variants(data: bytes, form: str, frames: int, turn: int, sides: tuple[int, ...]) -> dict[int, Variant]:
    """Return the animated variants by the length of their shorter side. Variants above a limit are not made."""
    if form not in _FORMATS or not 1 < frames <= MAX_FRAMES:
        return {}
    im, _ = open_picture(data)
    if frames * im.width * im.height > _MAX_DECODED:
        return {}
    targets = {side: scaled_size(*im.size, side) for side in sides}
    targets = {side: size for side, size in targets.items() if frames * size[0] * size[1] <= _MAX_MADE}
    if not targets:
        return {}
    scaled: dict[int, list[Image]] = {side: [] for side in targets}
    delays: list[int] = []
    loop = im.info.get("loop")
    for frame, delay in _iter_frames(im, frames):
        delays.append(delay)
        for side, size in targets.items():
            scaled[side].append(_scale_frame(frame, size, im.info.get("icc_profile"), turn))
    made = {side: _write_animation(pictures, delays, form, loop) for side, pictures in scaled.items() if len(pictures) > 1}
    return {side: variant for side, variant in made.items() if variant.size < max(len(data), _SMALL_BYTES)}


def _iter_frames(im: ImageFile, frames: int) -> Iterator[tuple[Image, int]]:
    """Yield each frame as displayed, and its duration in ms, without the still picture of an APNG for old viewers."""
    for number in range(1 if im.info.get("default_image") else 0, frames):
        im.seek(number)
        im.load()
        yield to_scalable_mode(im), int(im.info.get("duration") or _DELAY_MS)


def _scale_frame(frame: Image, size: tuple[int, int], profile: bytes | None, turn: int) -> Image:
    from PIL.Image import Resampling

    return to_display(frame.resize(size, Resampling.LANCZOS, reducing_gap=2.0), profile, turn)


def _to_gif_colours(picture: Image) -> Image:
    """Return the picture with a palette. A pixel of a GIF is opaque or clear; clear ones share one colour, which marks them."""
    from PIL import Image as Pictures

    if picture.mode == "RGBA":
        opaque = picture.getchannel("A").point(lambda alpha: 255 if alpha >= _OPAQUE else 0)
        clear = Pictures.new("RGBA", picture.size)
        picture.putalpha(opaque)
        picture = Pictures.composite(picture, clear, opaque)
    # Pillow's default, the median cut, took 0.4 s for a frame of 264x198; FASTOCTREE takes 2 ms
    picture = picture.quantize(256, Pictures.Quantize.FASTOCTREE)
    if picture.palette is not None and (index := picture.palette.colors.get((0, 0, 0, 0))) is not None:
        picture.info["transparency"] = index
    return picture


def _write_animation(pictures: list[Image], delays: list[int], form: str, loop: int | None) -> Variant:
    if len({picture.mode for picture in pictures}) > 1:
        pictures = [picture.convert("RGBA") for picture in pictures]
    options: dict[str, Any] = {"save_all": True, "duration": delays}
    if loop is not None:  # a GIF without a loop count is played once
        options["loop"] = loop
    match form:
        case "GIF":
            pictures = [_to_gif_colours(one) if one.mode != "L" else one for one in pictures]
            options |= {"disposal": 2, "optimize": False}
        case "WEBP":
            options |= {"quality": 75, "method": 2}
        case _:
            options |= {"disposal": 0, "blend": 0}
    out = BytesIO()
    pictures[0].save(out, form, append_images=pictures[1:], **options)
    return Variant(*pictures[0].size, out.getvalue(), form, out.tell())

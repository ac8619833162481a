"""Pictures and sounds of `timim demo`, drawn when it runs, so that the package contains no media."""

from __future__ import annotations

import math
import random
import wave
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter

SAMPLES_PER_S = 16_000
NOTE_S = 0.25
MELODY = (0, 4, 7, 12, 7, 4, 0, -5)  # in semitones
BASE_HZ = 440.0


@dataclass(frozen=True, slots=True)
class DemoMedia:
    """Files for a demo.

    Attributes:
        photo: A JPEG that is larger than the large size of a picture.
        drawing: A PNG.
        film_frame: A JPEG, the first frame of a film.
        sound: A WAV of `sound_s` seconds.
        report: A WAV that is sent as a file.
    """

    photo: Path
    drawing: Path
    film_frame: Path
    sound: Path
    report: Path
    sound_s: int


def make_media(folder: Path) -> DemoMedia:
    """Write the files into a folder; each run makes the same ones."""
    media = DemoMedia(
        photo=folder / "stars.jpg",
        drawing=folder / "sunset.png",
        film_frame=folder / "planet.jpg",
        sound=folder / "melody.wav",
        report=folder / "scale.wav",
        sound_s=round(len(MELODY) * NOTE_S),
    )
    _draw_stars(random.Random(1), (1600, 1200)).save(media.photo, quality=90)
    _draw_sunset((640, 480)).save(media.drawing)
    _draw_planet((640, 360)).save(media.film_frame, quality=85)
    _write_sound(media.sound, MELODY)
    _write_sound(media.report, sorted(MELODY))
    return media


def _draw_stars(drawn: random.Random, size: tuple[int, int]) -> Image.Image:
    glow = Image.radial_gradient("L").resize(size)
    picture = _coloured(glow, [[(255 - level) // part for level in range(256)] for part in (8, 12, 4)])
    canvas = ImageDraw.Draw(picture)
    for _ in range(1500):
        x, y, radius = drawn.randrange(size[0]), drawn.randrange(size[1]), drawn.choice((0, 0, 0, 1, 1, 2))
        light = drawn.randrange(120, 256)
        canvas.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(light, light, min(255, light + 30)))
    return picture.filter(ImageFilter.GaussianBlur(0.6))


def _coloured(grey: Image.Image, channels: Sequence[Iterable[int]]) -> Image.Image:
    """Return a picture whose red, green and blue are functions of the levels of a grey one, given as 256 values each."""
    return Image.merge("RGB", [grey.point(list(values)) for values in channels])


def _draw_sunset(size: tuple[int, int]) -> Image.Image:
    width, height = size
    sky = Image.linear_gradient("L").resize(size)
    levels = range(256)
    picture = _coloured(
        sky,
        [(min(255, 60 + level) for level in levels), (level // 2 for level in levels), (120 - level // 3 for level in levels)],
    )
    canvas = ImageDraw.Draw(picture)
    canvas.ellipse((width // 2 - 70, height // 2 - 20, width // 2 + 70, height // 2 + 120), fill=(255, 214, 120))
    canvas.rectangle((0, height * 2 // 3, width, height), fill=(28, 34, 66))
    for line in range(height * 2 // 3 + 8, height, 12):
        canvas.line((width // 2 - line // 4, line, width // 2 + line // 4, line), fill=(255, 190, 110), width=2)
    return picture


def _draw_planet(size: tuple[int, int]) -> Image.Image:
    picture = Image.new("RGB", size, (8, 10, 24))
    disc = Image.new("L", (260, 260))
    ImageDraw.Draw(disc).ellipse((0, 0, 259, 259), fill=255)
    light = Image.radial_gradient("L").resize(disc.size).point([255 - level for level in range(256)])
    ball = ImageChops.multiply(disc, light)
    picture.paste(Image.new("RGB", ball.size, (120, 170, 220)), (190, 50), ball)
    ImageDraw.Draw(picture).arc((140, 150, 500, 220), 0, 360, fill=(210, 200, 170), width=5)
    return picture


def _write_sound(path: Path, notes: Iterable[int]) -> None:
    samples = array("h")
    for note in notes:
        step = 2 * math.pi * BASE_HZ * 2 ** (note / 12) / SAMPLES_PER_S
        count = int(SAMPLES_PER_S * NOTE_S)
        samples.extend(int(12_000 * math.sin(step * n) * (1 - n / count)) for n in range(count))  # each note fades out
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(SAMPLES_PER_S)
        sound.writeframes(samples.tobytes())

"""Tests of sounds and videos (F09, F18): their durations are read from the files, and they arrive unchanged."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import image_factory
from tests.support.paths import MEDIA
from tests.support.sound_factory import SOUNDS
from timim import SoundElem, VideoElem
from timim.testing import EventRecorder, running_server


@pytest.mark.requirement("F09")
async def test_sounds_and_videos_arrive_with_their_durations(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(SOUNDS["MP4"])
    still = image_factory.encoded(image_factory.quarters(640, 360), "JPEG")
    async with running_server() as server, server.client("alice") as alice, server.client("bob") as bob:
        watch = EventRecorder(bob)
        await alice.c2c("bob").send(SoundElem(path=MEDIA / "hello-zh.wav"))
        sound = (await watch.wait_for_message(lambda m: isinstance(m[0], SoundElem)))[0]
        await alice.c2c("bob").send(VideoElem(path=film, snapshot=still))
        video = (await watch.wait_for_message(lambda m: isinstance(m[0], VideoElem)))[0]
        assert isinstance(sound, SoundElem)
        assert isinstance(video, VideoElem)
        assert (sound.duration, video.duration) == (7, 7)
        assert (video.format, video.snapshot_width, video.snapshot_height) == ("mp4", 640, 360)
        assert await video.read_snapshot() == still
        assert await video.read() == SOUNDS["MP4"]
        assert await sound.read() == (MEDIA / "hello-zh.wav").read_bytes()

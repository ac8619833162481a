"""Tests of downloads into a folder, and of pictures as content: each elem is read and downloaded in the same way."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest
from PIL import Image

import timim
from tests.support import image_factory
from tests.support.sound_factory import SOUNDS
from timim import FileElem, ImageElem, ImageType, SoundElem, VideoElem
from timim.testing import EventRecorder, running_server


def listing(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.requirement("F03")
async def test_a_file_in_a_folder_has_its_safe_name_and_replaces_none(tmp_path: Path) -> None:
    async with running_server() as server, server.client("alice") as alice, server.client("bob") as bob:
        watch = EventRecorder(bob)
        await alice.c2c("bob").send(FileElem(data=b"report", filename="../../etc/.report.pdf"))
        elem = (await watch.wait_for_message())[0]
        assert isinstance(elem, FileElem)
        assert await elem.download(tmp_path) == tmp_path / "report.pdf"
        assert await elem.download(str(tmp_path)) == tmp_path / "report (2).pdf"
        assert await elem.download(tmp_path / "mine") == tmp_path / "mine"
        there = await asyncio.to_thread(listing, tmp_path)
        assert there == {"report.pdf": b"report", "report (2).pdf": b"report", "mine": b"report"}
    with pytest.raises(timim.NetworkError):
        await elem.download(tmp_path)
    assert await asyncio.to_thread(listing, tmp_path) == there, "a failed download leaves no file"


@pytest.mark.requirement("F03")
async def test_pictures_sounds_and_videos_in_a_folder_are_called_after_their_uuid(tmp_path: Path) -> None:
    picture = image_factory.encoded(image_factory.quarters(300, 300), "PNG")
    async with running_server() as server, server.client("alice") as alice, server.client("bob"):
        sent = await alice.c2c("bob").send(ImageElem(data=picture), SoundElem(data=SOUNDS["WAV"]))
        film = (await alice.c2c("bob").send(VideoElem(data=SOUNDS["MP4"], format="mp4")))[0]
        image, sound = sent.elems
        assert isinstance(image, ImageElem)
        assert isinstance(sound, SoundElem)
        assert isinstance(film, VideoElem)
        for elem, suffix in ((image, ".png"), (sound, ""), (film, ".mp4")):
            assert (await elem.download(tmp_path)).name == f"{elem.uuid}{suffix}"


@pytest.mark.requirement("F05")
async def test_a_picture_is_read_and_downloaded_as_the_other_elems(tmp_path: Path) -> None:
    drawn = Image.new("RGB", (400, 300), "green")
    async with running_server() as server, server.client("alice") as alice, server.client("bob") as bob:
        watch = EventRecorder(bob)
        given = ImageElem(data=drawn)
        with pytest.raises(timim.MediaError, match="sent or received"):
            await given.read()
        sent = (await alice.c2c("bob").send(given))[0]
        received = (await watch.wait_for_message())[0]
        assert isinstance(sent, ImageElem)
        assert isinstance(received, ImageElem)
        original = received.images[ImageType.ORIGINAL]
        assert (received.uuid, received.size, received.url) == (original.uuid, original.size, original.url)
        assert (sent.uuid, sent.size) == (received.uuid, received.size)
        data = await received.read()
        assert data == given.data
        assert Image.open(io.BytesIO(data)).size == (400, 300)
        path = await received.download(tmp_path / "copy.png")
        assert await asyncio.to_thread(path.read_bytes) == data
        assert (await received.signed_url()).startswith("http")

"""Tests of files and pictures between Tencent's web client, with its unmodified upload plugin, and timim's client."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.interop.webclient import WebError, web_client
from tests.support.paths import MEDIA
from timim import FileElem, ImageElem, ImageType, VideoElem
from timim.testing import EventRecorder, RunningServer, running_server

pytestmark = pytest.mark.judge
PICTURE = MEDIA / "rocket.jpg"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RunningServer]:
    async with running_server(data_dir=tmp_path / "server") as running:
        yield running


async def fetched(url: str) -> bytes:
    """Fetch an address as a browser does, without a token."""

    def get() -> bytes:
        with urllib.request.urlopen(url, timeout=20) as reply:
            return bytes(reply.read())

    return await asyncio.to_thread(get)


@pytest.mark.requirement("F05", "F10")
async def test_files_and_pictures_of_the_web_client_arrive_byte_for_byte(server: RunningServer) -> None:
    async with server.client("bob") as bob, web_client(server, "alice") as web:
        watch = EventRecorder(bob)
        await web.login()
        sent = await web.send("file", "bob", {"path": str(PICTURE), "type": "image/jpeg"})
        assert sent["payload"]["fileSize"] == PICTURE.stat().st_size
        await web.send("image", "bob", {"path": str(PICTURE), "type": "image/jpeg", "size": [640, 427]})
        file = (await watch.wait_for_message(lambda m: isinstance(m[0], FileElem)))[0]
        image = (await watch.wait_for_message(lambda m: isinstance(m[0], ImageElem)))[0]
        assert isinstance(file, FileElem)
        assert isinstance(image, ImageElem)
        assert file.filename == "rocket.jpg"
        assert await file.read() == PICTURE.read_bytes()
        for variant in image.images.values():
            assert await variant.read() == PICTURE.read_bytes()  # the web client uploads no smaller variants
        assert (image.images[ImageType.ORIGINAL].width, image.images[ImageType.ORIGINAL].height) == (640, 427)


async def test_a_video_of_the_web_client_arrives_if_the_upload_plugin_is_registered(
    server: RunningServer, tmp_path: Path
) -> None:
    video = tmp_path / "talk.mp4"
    video.write_bytes(bytes(range(256)) * 400)
    payload: dict[str, object] = {"path": str(video), "type": "video/mp4"}
    await server.add_users("bob")
    async with web_client(server, "alice", plugins=False) as web:
        await web.login()
        with pytest.raises(WebError) as refused:
            await web.send("video", "bob", payload)
        assert refused.value.code == 2350
    async with server.client("bob") as bob, web_client(server, "alice", plugins=False) as web:
        watch = EventRecorder(bob)
        await web.do("plugin")
        await web.login()
        shown = await web.send("video", "bob", payload)
        assert (shown["payload"]["videoFormat"], shown["payload"]["videoSecond"]) == ("mp4", 3)
        received = await watch.wait_for_message()
        arrived = received[0]
        assert isinstance(arrived, VideoElem)
        assert (arrived.format, arrived.duration, arrived.size) == ("mp4", 3, video.stat().st_size)
        assert await arrived.read() == video.read_bytes()


async def test_the_web_client_logs_what_its_level_asks_for(server: RunningServer) -> None:
    await server.add_users("bob")
    async with web_client(server, "alice") as web:
        await web.login()
        quiet = await web.do("logged")
        await web.send("text", "bob", {"text": "without a word in the log"})
        assert await web.do("logged") == quiet
        await web.call("setLogLevel", 0)
        before = await web.do("logged")
        await web.send("text", "bob", {"text": "with some"})
        assert await web.do("logged") > before


@pytest.mark.requirement("F05", "F10")
async def test_files_and_pictures_of_timim_open_in_the_web_client(server: RunningServer) -> None:
    await server.add_users("alice")
    async with server.client("bob") as bob, web_client(server, "alice") as web:
        await bob.c2c("alice").send(FileElem(data=b"before the login", filename="f"))
        await web.login()
        await bob.c2c("alice").send(ImageElem(path=PICTURE))
        (live,) = [m for m in await web.received(1, where="C2Cbob") if m["type"] == "TIMImageElem"]
        by_type = {info["type"]: info["url"] for info in live["payload"]["imageInfoArray"]}
        assert await fetched(by_type[0]) == PICTURE.read_bytes()
        assert 0 < len(await fetched(by_type[1])) < PICTURE.stat().st_size
        history = await web.do("messages", conversationID="C2Cbob")
        (file,) = [m for m in history["messages"] if m["type"] == "TIMFileElem"]
        address = file["payload"]["fileUrl"]
        assert await fetched(address) == b"before the login"
        with pytest.raises(urllib.error.HTTPError, match="401"):
            await fetched(address.partition("?")[0])

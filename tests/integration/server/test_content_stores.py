"""Tests of content in a folder and in a bucket of an S3 server: transfers, signed addresses, restarts and collection."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

import timim
from tests.support.blob_contract import MIB, blobs_of, check_parts, whole
from tests.support.media_proxy import proxied_server
from tests.support.paths import MEDIA
from tests.support.raw_database import in_database
from tests.support.s3_server import Bucket
from timim import FileElem, ImageElem, ImageType
from timim.server.content.blob_store import BlobStore
from timim.server.settings import Settings
from timim.testing import EventRecorder, RunningServer, running_server

pytestmark = pytest.mark.timeout(240)
WAIT_S = 90


def settings_in(bucket: Bucket) -> dict[str, object]:
    """Return the settings of a server that stores its content under a prefix of its own in this bucket."""
    return bucket.settings | {"s3_prefix": f"test-{random.getrandbits(48):x}"}


@pytest.fixture(params=["folder", "bucket"])
def where(request: pytest.FixtureRequest) -> dict[str, object]:
    """Return the settings of a server whose content is in its folder or in a bucket."""
    if request.param == "folder":
        return {}
    return settings_in(request.getfixturevalue("bucket"))


@asynccontextmanager
async def serving(where: dict[str, object], folder: Path, **settings: object) -> AsyncIterator[RunningServer]:
    async with running_server(data_dir=folder, **where, **settings) as server:
        yield server


async def test_a_bucket_stores_and_reads_parts_as_a_folder_does(bucket: Bucket) -> None:
    await check_parts(await asyncio.to_thread(blobs_of, settings_in(bucket), None))


async def test_a_failing_bucket_is_reported_without_its_keys(tmp_path: Path) -> None:
    wrong = {"s3_endpoint": "http://127.0.0.1:9", "s3_bucket": "b", "s3_access_key": "the-key", "s3_secret_key": "the-secret"}
    settings = await asyncio.to_thread(Settings, data_dir=tmp_path, **wrong)  # type: ignore[arg-type]
    assert "the-secret" not in repr(settings)
    from obstore.store import S3Store

    store = S3Store(
        "b",
        endpoint="http://127.0.0.1:9",
        region="us-east-1",
        access_key_id="the-key",
        secret_access_key="the-secret",
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )
    with pytest.raises(timim.StorageError) as failed:
        await BlobStore(store).put("one", 0, b"x")
    assert "the-secret" not in str(failed.value)


@pytest.mark.requirement("F05", "F07", "F10")
async def test_content_arrives_through_either_store_also_after_a_restart(where: dict[str, object], tmp_path: Path) -> None:
    data = random.Random(5).randbytes(9 * MIB)
    async with serving(where, tmp_path / "s") as server:
        async with server.client("alice") as alice, server.client("bob") as bob:
            watch = EventRecorder(bob)
            picture = MEDIA / "rocket.jpg"
            await alice.c2c("bob").send("look", ImageElem(path=picture), FileElem(data=data, filename="f"))
            message = await watch.wait_for_message()
            _, image, file = message
            assert isinstance(image, ImageElem)
            assert isinstance(file, FileElem)
            assert await image.images[ImageType.ORIGINAL].read() == picture.read_bytes()
            assert await file.read() == data
        await server.restart()
        async with server.client("bob") as bob, httpx2.AsyncClient(trust_env=False) as http:
            page = await bob.c2c("alice").get_messages(1)
            again = page[0][2]
            assert isinstance(again, FileElem)
            assert (again.uuid, again.url) == (file.uuid, file.url)
            assert await again.read() == data
            address = await again.signed_url()
            assert (await http.get(address)).content == data
            part = await http.get(address, headers={"Range": f"bytes={4 * MIB - 3}-{4 * MIB + 2}"})
            assert part.content == data[4 * MIB - 3 : 4 * MIB + 3]


@pytest.mark.requirement("F10")
async def test_an_upload_resumes_in_either_store_after_the_server_was_killed(where: dict[str, object], tmp_path: Path) -> None:
    data = random.Random(6).randbytes(20 * MIB)
    async with proxied_server(tmp_path / "s", where) as (server, relay):
        async with server.client("alice") as alice, server.client("bob") as bob:
            watch = EventRecorder(bob)
            sending = asyncio.create_task(alice.c2c("bob").send(FileElem(data=data, filename="f")))
            await relay.carried("up", 14 * MIB)
            relay.hold()
            await server.crash()
            relay.release()
            await server.start()
            await sending
            elem = (await watch.wait_for_message())[0]
            assert isinstance(elem, FileElem)
            assert await elem.read() == data
            assert relay.passed["up"] < 36 * MIB


async def test_only_unreferenced_content_is_collected(where: dict[str, object], tmp_path: Path) -> None:
    async with serving(where, tmp_path / "s", media_grace_s=1, media_sweep_s=0.1) as server:
        async with server.client("alice") as alice, server.client("bob") as bob:
            watch = EventRecorder(bob)
            kept = random.Random(7).randbytes(MIB)
            await alice.c2c("bob").send(FileElem(data=kept, filename="kept"))
            # neither is referenced by a stored message: one was sent online, one was refused after its upload
            await alice.c2c("bob").send_online(FileElem(data=random.Random(8).randbytes(MIB), filename="online"))
            with pytest.raises(timim.UnknownUser):
                await alice.c2c("nobody").send(FileElem(data=random.Random(9).randbytes(MIB), filename="refused"))
            left = await asyncio.to_thread(blobs_of, where, server.folder)
            assert await objects(server) >= 1
            async with asyncio.timeout(WAIT_S):
                while await objects(server) > 1 or await dead(server):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            elem = (await watch.wait_for_message(lambda m: m.seq == 1))[0]
            assert isinstance(elem, FileElem)
            assert await elem.read() == kept
            online = (await watch.wait_for_message(lambda m: m.seq == 0))[0]
            assert isinstance(online, FileElem)
            with pytest.raises(timim.MediaGone):
                await online.read()
            (name,) = await names(server)
            assert await whole(left, name) == kept


async def objects(server: RunningServer) -> int:
    return len(await names(server))


async def names(server: RunningServer) -> list[str]:
    return [name for (name,) in await in_database(server.folder, "SELECT object FROM media_objects")]


async def dead(server: RunningServer) -> list[str]:
    return [name for (name,) in await in_database(server.folder, "SELECT object FROM media_dead")]

"""Tests of content on the server: equal bytes are stored once, altered bytes are refused, and cancelled uploads are deleted."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

import timim
from tests.support.media_proxy import proxied_server
from tests.support.paths import MUTANTS
from timim import FileElem, Message, MessageStatus

pytestmark = pytest.mark.timeout(240)  # megabytes in each test, on a shared machine
MIB = 1 << 20
NO_HASH = (str(MUTANTS / "no_hash.py"),)


async def falsified_upload(folder: Path, seed: int, program: tuple[str, ...] = ()) -> None:
    (folder / "file").write_bytes(random.Random(seed).randbytes(6 * MIB))
    async with proxied_server(folder / "s", program=program) as (server, relay):
        async with server.client("alice") as alice, server.client("bob"):
            relay.corrupt_at["up"] = 5 * MIB
            message = Message(FileElem(path=folder / "file"))
            with pytest.raises(timim.UploadFailed):
                await alice.c2c("bob").send(message)
            assert message.status is MessageStatus.FAILED
            assert relay.corrupt_at == {}
            assert server.rows("media_uploads") == server.rows("media_blobs") == 0
            assert server.stored_bytes() == 0


@pytest.mark.requirement("F10")
async def test_bytes_altered_during_an_upload_are_refused(tmp_path: Path, seed: int) -> None:
    await falsified_upload(tmp_path, seed)


@pytest.mark.requirement("F10")
async def test_a_server_that_does_not_check_the_hash_is_detected(tmp_path: Path, seed: int) -> None:
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        await falsified_upload(tmp_path, seed, NO_HASH)


@pytest.mark.requirement("F07")
async def test_bytes_altered_during_a_download_or_on_disk_are_refused(tmp_path: Path, seed: int) -> None:
    (tmp_path / "file").write_bytes(random.Random(seed).randbytes(6 * MIB))
    async with proxied_server(tmp_path / "s") as (server, relay), server.client("alice") as alice, server.client("bob"):
        sent = await alice.c2c("bob").send(FileElem(path=tmp_path / "file"))
        elem = sent[0]
        assert isinstance(elem, FileElem)
        into = tmp_path / "back"
        into.mkdir()
        relay.corrupt_at["down"] = relay.passed["down"] + MIB
        with pytest.raises(timim.DownloadFailed):
            await elem.download(into / "file")
        assert relay.corrupt_at == {}
        (part,) = [path for path in (server.folder / "media").rglob("*") if path.is_file() and path.name.endswith("0" * 15)]
        part.write_bytes(b"\0" + part.read_bytes()[1:])
        with pytest.raises(timim.DownloadFailed):
            await elem.read()
        assert list(into.iterdir()) == []


async def test_a_cancelled_upload_leaves_nothing_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("timim.transport.media_transfer.ABORT_TIMEOUT_S", 30.0)  # a busy server needs more than 2 s
    async with proxied_server(tmp_path / "s") as (server, _):
        async with server.client("alice", data_dir=tmp_path / "a") as alice, server.client("bob"):

            def enough(done: int, total: int) -> None:
                if done > total // 2:
                    raise RuntimeError("the user pressed cancel")

            message = Message(FileElem(data=bytes(12 * MIB), filename="x"))
            with pytest.raises(timim.InvalidArgument, match="pressed cancel"):
                await alice.c2c("bob").send(message, progress=enough)
            assert message.status is MessageStatus.FAILED
            assert list((tmp_path / "a").rglob("outgoing/*")) == []
            await server.until(lambda: server.stored_bytes() == 0, "the server deletes the parts")
            assert server.rows("media_uploads") == server.rows("media_dead") == server.rows("media_blobs") == 0
            await alice.c2c("bob").send("the lane goes on")


async def test_an_online_message_that_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    async with proxied_server(tmp_path / "s") as (server, relay), server.client("alice") as alice, server.client("bob"):
        sending = asyncio.create_task(alice.c2c("bob").send_online(FileElem(data=bytes(12 * MIB), filename="x")))
        await relay.carried("up", 6 * MIB)
        relay.hold()
        sending.cancel()
        relay.release()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await server.until(lambda: server.stored_bytes() == 0, "the server deletes the parts")
        assert server.rows("media_uploads") == 0


async def test_an_abandoned_upload_is_collected(tmp_path: Path) -> None:
    settings = {"media_upload_idle_s": 1, "media_sweep_s": 0.1}
    async with proxied_server(tmp_path / "s", settings) as (server, relay), server.client("bob"):
        async with server.client("alice") as alice:
            content = bytes(64 * MIB)  # more than the buffers of both sockets, so that a part never leaves the client
            sending = asyncio.create_task(alice.c2c("bob").send(FileElem(data=content, filename="x")))
            await relay.carried("up", 6 * MIB)
            relay.hold()
            await server.until(lambda: server.stored_bytes() > 0, "a part is on disk")
        with pytest.raises(timim.NotLoggedIn):
            await sending
        relay.release()
        await server.until(lambda: server.stored_bytes() == 0, "the server deletes the parts")
        assert server.rows("media_uploads") == 0


async def test_equal_bytes_are_stored_once_and_only_their_uploader_skips_the_upload(tmp_path: Path) -> None:
    data = random.Random(1).randbytes(3 * MIB)
    async with (
        proxied_server(tmp_path / "s", {"media_sweep_s": 0.1}) as (server, relay),
        server.client("alice") as alice,
        server.client("bob") as bob,
        server.client("eve") as eve,
    ):
        uuids = []
        sent_bytes = []
        for sender in (alice, alice, eve):
            before = relay.passed["up"]
            message = await sender.c2c("bob").send(FileElem(data=data, filename="x"))
            elem = message[0]
            assert isinstance(elem, FileElem)
            uuids.append(elem.uuid)
            sent_bytes.append(relay.passed["up"] - before)
            await server.until(lambda: (server.rows("media_dead"), server.stored_bytes()) == (0, len(data)), "stored once")
        assert uuids[0] == uuids[1] != uuids[2]
        assert sent_bytes[0] > len(data) > sent_bytes[1]
        assert sent_bytes[2] > len(data)
        page = await bob.c2c("eve").get_messages(1)
        assert isinstance(page[0][0], FileElem)
        assert await page[0][0].read() == data

"""Tests of the optional media cache: without it each call downloads again; with it, recent content is kept up to a size."""

from __future__ import annotations

import asyncio
import random
import sys
from functools import partial
from pathlib import Path

import pytest

import timim
from tests.support.media_proxy import proxied_server
from timim import FileElem
from timim.transport.media_cache import MediaCache

MIB = 1 << 20


def note(told: list[tuple[int, int]], done: int, total: int) -> None:
    told.append((done, total))


@pytest.mark.requirement("F07")
async def test_without_a_cache_each_call_downloads_again_and_with_one_once(tmp_path: Path) -> None:
    data = random.Random(1).randbytes(MIB)
    async with (
        proxied_server(tmp_path / "s") as (server, relay),
        server.client("alice") as alice,
        server.client("bob", data_dir=tmp_path / "b", media_cache_bytes=8 * MIB) as bob,
    ):
        await alice.c2c("bob").send(FileElem(data=data, filename="f"))
        for client, peer, times in ((alice, "bob", 3), (bob, "alice", 1)):
            elem = (await client.c2c(peer).get_messages(1))[0][0]
            assert isinstance(elem, FileElem)
            before = relay.passed["down"]
            told: list[tuple[int, int]] = []
            assert await elem.read() == data
            assert await elem.read(progress=partial(note, told)) == data
            assert (await elem.download(tmp_path / "back")).read_bytes() == data
            assert (relay.passed["down"] - before) // MIB == times
            assert told[-1] == (MIB, MIB)
        again = server.client("bob", data_dir=tmp_path / "b", media_cache_bytes=8 * MIB)
    await again.open()  # no network: the server has stopped
    elem = (await again.c2c("alice").get_local_messages(1))[0][0]
    assert isinstance(elem, FileElem)
    assert await elem.read() == data
    await again.close()


def files_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


CRASHES = """
import asyncio, os, pathlib, sys
from timim.transport.media_cache import MediaCache
async def main():
    cache = MediaCache(pathlib.Path(sys.argv[1]), 1 << 20)
    partial = await cache.create_partial()
    partial.write_bytes(b"half")
    os.kill(os.getpid(), 9)
asyncio.run(main())
"""


async def test_remains_of_a_crash_in_the_cache_are_removed(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", CRASHES, str(tmp_path))
    assert await process.wait() == -9
    assert len(files_in(tmp_path)) == 1
    cache = MediaCache(tmp_path, MIB)
    assert await cache.find("a" * 32) is None
    assert files_in(tmp_path) == []


async def test_an_in_memory_client_has_a_cache_while_it_runs(tmp_path: Path) -> None:
    async with (
        proxied_server(tmp_path / "s") as (server, relay),
        server.client("alice", media_cache_bytes=8 * MIB) as alice,
        server.client("bob"),
    ):
        sent = await alice.c2c("bob").send(FileElem(data=bytes(MIB), filename="f"))
        elem = sent[0]
        assert isinstance(elem, FileElem)
        before = relay.passed["down"]
        assert await elem.read() == await elem.read() == bytes(MIB)
        assert (relay.passed["down"] - before) // MIB == 1
        assert alice.engine.media._cache is not None
        assert alice.engine.media._cache._ready is not None
        folder = alice.engine.media._cache._ready
    assert not folder.exists()


@pytest.mark.requirement("F07")
async def test_a_download_that_fails_leaves_nothing_in_the_cache(tmp_path: Path) -> None:
    async with proxied_server(tmp_path / "s") as (server, relay):
        alice = server.client("alice", data_dir=tmp_path / "a", media_cache_bytes=8 * MIB)
        async with alice, server.client("bob"):
            sent = await alice.c2c("bob").send(FileElem(data=bytes(2 * MIB), filename="f"))
            elem = sent[0]
            assert isinstance(elem, FileElem)
            relay.corrupt_at["down"] = relay.passed["down"] + MIB
            with pytest.raises(timim.DownloadFailed):
                await elem.read()
            assert list((tmp_path / "a").rglob("cache/*")) == []
            assert await elem.read() == bytes(2 * MIB)


async def test_a_cache_whose_disk_fails_is_bypassed(tmp_path: Path) -> None:
    async with proxied_server(tmp_path / "s") as (server, _):
        alice = server.client("alice", data_dir=tmp_path / "a", media_cache_bytes=8 * MIB)
        async with alice, server.client("bob"):
            sent = await alice.c2c("bob").send(FileElem(data=bytes(MIB), filename="f"))
            elem = sent[0]
            assert isinstance(elem, FileElem)
            (folder,) = {path.parent for path in (tmp_path / "a").rglob("messages.db")}
            (folder / "cache").write_text("a file where the folder should be")
            assert await elem.read() == bytes(MIB)
            assert (await elem.download(tmp_path / "back")).read_bytes() == bytes(MIB)


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(timim.InvalidArgument, match="media_cache_bytes"):
        timim.Client("ws://127.0.0.1:1", app_id=1, user_id="a", user_sig="x", media_cache_bytes=-1)

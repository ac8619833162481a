"""Tests of interrupted transfers: they resume where they stopped, and arrive unchanged."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

import psutil
import pytest

import timim
from tests.support.media_proxy import MediaProxy, ProxiedServer, proxied_server
from tests.support.paths import MUTANTS
from tests.support.raw_database import in_database
from timim import Client, FileElem, Message, SoundElem
from timim.testing import EventRecorder

pytestmark = pytest.mark.timeout(240)  # tens of megabytes in each test, on a shared machine
MIB = 1 << 20
FORGETS_OFFSET = (str(MUTANTS / "forgets_offset.py"),)

SENDER = """
import asyncio, os, resource, sys, timim
async def main():
    url, app_id, sig, folder, path = sys.argv[1:]
    async with timim.Client(url, app_id=int(app_id), user_id="alice", user_sig=sig, data_dir=folder) as alice:
        def rss():
            with open("/proc/self/statm") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        await alice.c2c("bob").send(timim.FileElem(data=b"warm", filename="w"))
        base = most = rss()
        def progress(done, total):
            nonlocal most
            most = max(most, rss())
            print(done, flush=True)
        sent = await alice.c2c("bob").send(timim.FileElem(path=path), progress=progress)
        await sent[0].download(path + ".back", progress=progress)
        print("grown", most - base, flush=True)
asyncio.run(main())
"""


def made(path: Path, size: int, seed: int) -> bytes:
    data = random.Random(seed).randbytes(size)
    path.write_bytes(data)
    return data


async def file_of(watch: EventRecorder) -> FileElem:
    message = await watch.wait_for_message(lambda m: isinstance(m[0], FileElem) and m[0].filename != "w")
    elem = message[0]
    assert isinstance(elem, FileElem)
    return elem


async def cut_upload(folder: Path, size: int, cuts: int, seed: int, program: tuple[str, ...] = ()) -> tuple[int, int]:
    """Upload a file while the connection is cut `cuts` times. Return the number of uploaded bytes and of cuts."""
    data = made(folder / "big", size, seed)
    async with proxied_server(folder / "s", program=program) as (server, relay):
        alice, bob = server.client("alice"), server.client("bob")
        watch = EventRecorder(bob)
        async with alice, bob:
            relay.cuts["up"] = [size * (n + 1) // (cuts + 1) for n in range(cuts)]
            told: list[int] = []
            sent = await alice.c2c("bob").send(FileElem(path=folder / "big"), progress=lambda done, total: told.append(done))
            elem = await file_of(watch)
            assert isinstance(sent[0], FileElem)
            assert elem.uuid == sent[0].uuid
            passed = relay.passed["up"]
            assert await elem.read() == data
            assert told == sorted(set(told))
            assert told[-1] == size
            return passed, relay.happened


async def goes_on(folder: Path, size: int, seed: int, program: tuple[str, ...] = ()) -> None:
    passed, happened = await cut_upload(folder, size, 20, seed, program)
    assert happened == 20
    assert passed < size * 1.5


@pytest.mark.requirement("F10")
async def test_an_upload_cut_twenty_times_resumes_where_it_stopped(tmp_path: Path, seed: int) -> None:
    await goes_on(tmp_path, 20 * MIB, seed)


@pytest.mark.requirement("F10")
async def test_a_server_that_forgets_the_upload_offset_is_detected(tmp_path: Path, seed: int) -> None:
    with pytest.raises((AssertionError, timim.NetworkError)):  # all bytes are sent again, or the upload fails
        await goes_on(tmp_path, 20 * MIB, seed, FORGETS_OFFSET)


@pytest.mark.soak
@pytest.mark.requirement("F10")
async def test_an_upload_of_100_mb_cut_twenty_times_resumes(tmp_path: Path, seed: int) -> None:
    await goes_on(tmp_path, 100 * MIB, seed)


@pytest.mark.requirement("F10")
async def test_an_upload_resumes_after_the_server_was_killed(tmp_path: Path, seed: int) -> None:
    data = made(tmp_path / "big", 24 * MIB, seed)
    async with proxied_server(tmp_path / "s") as (server, relay):
        alice, bob = server.client("alice"), server.client("bob")
        watch = EventRecorder(bob)
        async with alice, bob:
            sending = asyncio.create_task(alice.c2c("bob").send(FileElem(path=tmp_path / "big")))
            await relay.carried("up", 10 * MIB)
            relay.hold()
            await server.until(lambda: server.stored_bytes() >= 4 * MIB, "a part is on disk")
            await server.crash()
            relay.release()
            await server.start()
            await sending
            assert await (await file_of(watch)).read() == data
            assert relay.passed["up"] < 36 * MIB


async def send_in_a_process(server: ProxiedServer, folder: Path, path: Path) -> asyncio.subprocess.Process:
    sig = timim.sign_user(server.app_id, server.secret_key, "alice")
    given = (server.faults.url, str(server.app_id), sig, str(folder), str(path))
    return await asyncio.create_subprocess_exec(sys.executable, "-c", SENDER, *given, stdout=asyncio.subprocess.PIPE)


@pytest.mark.requirement("F10", "F03")
async def test_an_upload_resumes_after_its_client_was_killed(tmp_path: Path, seed: int) -> None:
    data = made(tmp_path / "big", 24 * MIB, seed)
    async with proxied_server(tmp_path / "s") as (server, relay):
        await server.add_users("bob")
        sender = await send_in_a_process(server, tmp_path / "a", tmp_path / "big")
        await relay.carried("up", 12 * MIB)
        relay.hold()
        sender.kill()
        await sender.communicate()
        relay.release()
        bob = server.client("bob")
        watch = EventRecorder(bob)
        async with bob, server.client("alice", data_dir=tmp_path / "a"):
            assert await (await file_of(watch)).read() == data
            assert relay.passed["up"] < 36 * MIB
            assert server.rows("media_uploads") == 0


@pytest.mark.requirement("F07")
async def test_an_interrupted_download_requests_the_rest(tmp_path: Path, seed: int) -> None:
    size = 12 * MIB
    data = made(tmp_path / "big", size, seed)
    async with proxied_server(tmp_path / "s") as (server, relay), server.client("alice") as alice, server.client("bob"):
        sent = await alice.c2c("bob").send(FileElem(path=tmp_path / "big"))
        elem = sent[0]
        assert isinstance(elem, FileElem)
        begun = relay.passed["down"]
        relay.cuts["down"] = [begun + size * (n + 1) // 6 for n in range(5)]
        told: list[int] = []
        into = tmp_path / "back"
        into.mkdir()
        path = await elem.download(into / "big", progress=lambda done, total: told.append(done))
        assert path.read_bytes() == data
        assert [each.name for each in into.iterdir()] == ["big"]
        assert relay.happened == 5
        assert relay.passed["down"] - begun < size * 1.5
        assert told == sorted(set(told))
        assert told[-1] == size


@pytest.mark.requirement("F07")
async def test_a_download_without_end_fails_and_leaves_nothing(tmp_path: Path, seed: int) -> None:
    made(tmp_path / "big", 4 * MIB, seed)
    async with proxied_server(tmp_path / "s") as (server, relay), server.client("alice") as alice, server.client("bob"):
        sent = await alice.c2c("bob").send(FileElem(path=tmp_path / "big"))
        elem = sent[0]
        assert isinstance(elem, FileElem)
        into = tmp_path / "back"
        into.mkdir()
        downloading = asyncio.create_task(elem.download(into / "cancelled"))
        relay.hold()
        await server.until(lambda: bool(list(into.iterdir())), "the download has created its file")
        downloading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await downloading
        assert list(into.iterdir()) == []
        relay.release()
        await server.crash()
        with pytest.raises(timim.NetworkError):
            await elem.download(into / "big")
        assert list(into.iterdir()) == []


@pytest.mark.requirement("F09", "F10")
async def test_progress_counts_all_of_a_message_and_never_goes_back(tmp_path: Path) -> None:
    async with proxied_server(tmp_path / "s") as (server, _), server.client("alice") as alice, server.client("bob"):
        sound, file = bytes(2 * MIB), bytes(3 * MIB)
        told: list[tuple[int, int]] = []
        message = Message(SoundElem(data=sound, duration=1), FileElem(data=file, filename="f"))
        await alice.c2c("bob").send(message, progress=lambda done, total: told.append((done, total)))
        assert {total for _, total in told} == {5 * MIB}
        assert [done for done, _ in told] == sorted({done for done, _ in told})
        assert told[-1] == (5 * MIB, 5 * MIB)


async def test_at_most_four_transfers_of_a_client_run_at_once(tmp_path: Path) -> None:
    async with proxied_server(tmp_path / "s") as (server, relay), server.client("alice") as alice:
        await server.add_users(*(f"u{n}" for n in range(12)))
        await asyncio.gather(
            *(alice.c2c(f"u{n}").send(FileElem(data=random.Random(n).randbytes(MIB), filename="x")) for n in range(12))
        )
        assert 1 < relay.most <= 4


@pytest.mark.requirement("F03")
async def test_content_collected_before_its_message_was_sent_is_uploaded_again(tmp_path: Path) -> None:
    async with proxied_server(tmp_path / "s") as (server, _):
        alice, bob = server.client("alice", reconnect_limit=0.2), server.client("bob", reconnect_limit=0.2)
        watch = EventRecorder(bob)
        async with alice, bob:
            server.faults.stall(user="alice", direction="up")
            sending = asyncio.create_task(alice.c2c("bob").send(FileElem(data=b"kept", filename="x")))
            await server.until(lambda: server.rows("media_blobs") == 1, "the content is stored")
            await server.crash()
            await in_database(server.folder, "DELETE FROM media_blobs", "DELETE FROM media_objects")
            await server.start()
            await sending
            assert await (await file_of(watch)).read() == b"kept"


async def test_a_file_changed_between_two_runs_is_sent_as_it_is_now(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "big"
    made(path, 12 * MIB, seed)
    async with proxied_server(tmp_path / "s") as (server, relay):
        await server.add_users("bob")
        async with server.client("alice", data_dir=tmp_path / "a") as alice:
            sending = asyncio.create_task(alice.c2c("bob").send(FileElem(path=path)))
            await relay.carried("up", 6 * MIB)
            relay.hold()
        with pytest.raises(timim.NotLoggedIn):
            await sending
        relay.release()
        now = made(path, 5 * MIB, seed + 1)
        bob = server.client("bob")
        watch = EventRecorder(bob)
        async with bob, server.client("alice", data_dir=tmp_path / "a"):
            assert await (await file_of(watch)).read() == now


@pytest.mark.requirement("F10")
async def test_memory_stays_flat_on_both_sides_for_100_mb(tmp_path: Path, seed: int) -> None:
    made(tmp_path / "big", 100 * MIB, seed)
    async with proxied_server(tmp_path / "s") as (server, _):
        await server.add_users("bob")
        process = psutil.Process(server.pid)
        sender = await send_in_a_process(server, tmp_path / "a", tmp_path / "big")
        assert sender.stdout is not None
        base = most = 0
        grown = ""
        while line := (await sender.stdout.readline()).decode():
            now = process.memory_info().rss
            base, most = base or now, max(most, now)
            grown = line
        await sender.wait()
        assert grown.startswith("grown ")
        assert int(grown.split()[1]) < 30 * MIB
        assert 0 < most - base < 30 * MIB
        back, path = tmp_path / "big.back", tmp_path / "big"
        assert back.stat().st_size == path.stat().st_size


@pytest.mark.requirement("F05", "F10")
async def test_the_servers_limits_are_checked_before_a_byte_is_sent(tmp_path: Path) -> None:
    settings = {"max_file_bytes": 200 * MIB, "max_sound_bytes": 1000}
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(110 * MIB)
    async with proxied_server(tmp_path / "s", settings) as (server, relay):
        async with server.client("alice") as alice, server.client("bob"):
            with pytest.raises(timim.TooLarge, match="limit for sound is 1000"):
                await alice.c2c("bob").send(SoundElem(data=bytes(1001), duration=1))
            assert relay.passed["up"] == 0
            sent = await alice.c2c("bob").send(FileElem(path=path))
            assert isinstance(sent[0], FileElem)
            assert sent[0].size == 110 * MIB


@pytest.mark.requirement("F10")
async def test_an_upload_resumes_after_the_server_was_stopped(tmp_path: Path, seed: int) -> None:
    data = made(tmp_path / "big", 24 * MIB, seed)
    async with proxied_server(tmp_path / "s", {"drain_s": 0.5}) as (server, relay):
        alice, bob = server.client("alice"), server.client("bob")
        watch = EventRecorder(bob)
        async with alice, bob:
            sending = asyncio.create_task(alice.c2c("bob").send(FileElem(path=tmp_path / "big")))
            await relay.carried("up", 14 * MIB)
            relay.hold()
            await server.stop()
            kept, passed = server.stored_bytes(), relay.passed["up"]
            assert kept > 0
            relay.release()
            await server.start()
            await sending
            assert await (await file_of(watch)).read() == data
            assert relay.passed["up"] - passed < 24 * MIB - kept + 2 * MIB  # bytes that the server has kept are not sent again


def test_clients_are_given_the_address_of_the_relay(tmp_path: Path) -> None:
    async def work() -> None:
        async with proxied_server(tmp_path) as (server, relay), server.client("alice") as alice:
            assert isinstance(alice, Client)
            assert isinstance(relay, MediaProxy)
            assert alice.engine.connection.server_info.media_url == f"{relay.url}/media"

    asyncio.run(work())

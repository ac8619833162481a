"""Tests of R18: the local store survives kill -9, a full disk and a corrupt file, and loses no message that the server has."""

from __future__ import annotations

import asyncio
import random
import resource
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest

from tests.support.client_processes import client_processes
from timim import Client, Message, MessageStatus, StorageError, StoreReplaced
from timim.local_store import types, writes
from timim.testing import EventRecorder, RunningServer, running_server

KILLS = 40


@pytest.fixture
async def server() -> AsyncIterator[RunningServer]:
    async with running_server(hello_interval_s=2) as running:
        yield running


def store_of(client: Client) -> Path:
    """Return the path of a client's store file."""
    path = client.engine.config.database
    assert path is not None
    return path


@pytest.mark.timeout(120)
@pytest.mark.requirement("R18")
async def test_forty_kills_under_traffic_leave_every_message_once(server: RunningServer, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    await server.add_users("alice", "bob")
    thrown: list[tuple[int, str]] = []
    async with server.client("alice") as alice, client_processes() as clients:
        sent = 0

        async def speak(count: int) -> None:
            nonlocal sent
            texts = [str(i) for i in range(sent, sent + count)]
            sent += count
            await asyncio.gather(*(alice.c2c("bob").send(text) for text in texts))

        for _ in range(KILLS):
            bob = await clients.start("receive", server, "bob", tmp_path)
            speaking = asyncio.create_task(speak(rng.randrange(1, 40)))
            enough = rng.randrange(1, 20)
            if rng.random() < 0.8:
                await bob.until(lambda said, enough=enough: len(said) > enough or said[-1][0] == "online")  # type: ignore[misc]
            await asyncio.sleep(0)
            await bob.kill()
            await speaking
            thrown += [(seq, text) for word, *rest in bob.said if word == "new" for _, seq, text in [rest]]
    assert len(thrown) == len(set(thrown)), "a message was delivered twice"
    again = server.client("bob", data_dir=tmp_path)
    watch = EventRecorder(again)
    async with again:
        page = await again.c2c("alice").get_messages(1000)
        held = [m async for m in again.c2c("alice").history(oldest_first=True)]
        assert [(m.seq, m.text) for m in held] == [(i + 1, str(i)) for i in range(sent)]
        assert (await again.c2c("alice").coverage()).intervals == ((1, sent),)
        assert page.complete
    late = [(m.seq, m.text) for m in watch.messages]
    assert not set(late) & set(thrown), "a message was delivered twice"
    assert set(thrown) | set(late) <= {(i + 1, str(i)) for i in range(sent)}


@contextmanager
def a_full_disk(path: Path) -> Iterator[None]:
    """Forbid this process to write beyond the size of the largest file in the folder, so that SQLite finds the disk full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    largest = max(file.stat().st_size for file in path.iterdir())
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.requirement("R18")
async def test_a_full_disk_is_reported_and_afterwards_nothing_is_missing(server: RunningServer, tmp_path: Path) -> None:
    await server.add_users("bob")
    async with server.client("bob") as bob, server.client("alice", data_dir=tmp_path) as alice:
        watch, at_bob = EventRecorder(alice), EventRecorder(bob)
        await alice.c2c("bob").send("fits")
        folder = store_of(alice).parent
        refused: list[Message] = []
        stored = ["fits"]
        with a_full_disk(folder):
            for i in range(40):
                message = Message(f"{i} {'x' * 4000}")
                try:
                    await alice.c2c("bob").send(message)
                    stored.append(message.text)
                except StorageError:
                    assert message.status is MessageStatus.FAILED
                    refused.append(message)
            await bob.c2c("alice").send("while it is full")
        assert refused, "the disk was never full, so the test proves nothing"
        await alice.c2c("bob").send("fits again")
        assert [m.text for m in await watch.wait_for_messages(1)] == ["while it is full"]
        await at_bob.wait_for_message(lambda m: m.text == "fits again")
        there = [m.text async for m in bob.c2c("alice").history(oldest_first=True)]
        assert sorted(there) == sorted([*stored, "while it is full", "fits again"]), "a message was lost or stored twice"
        mine = [m.text async for m in alice.c2c("bob").history(oldest_first=True) if m.status is MessageStatus.SUCCEEDED]
        assert mine == there


def no_header(data: bytearray, rng: random.Random) -> None:
    data[:100] = rng.randbytes(100)


def a_page_in_the_middle(data: bytearray, rng: random.Random) -> None:
    page = rng.randrange(2, len(data) // 4096) * 4096
    data[page : page + 4096] = rng.randbytes(4096)


def every_page_but_the_first(data: bytearray, rng: random.Random) -> None:
    data[4096:] = rng.randbytes(len(data) - 4096)


def truncated(data: bytearray, rng: random.Random) -> None:
    del data[len(data) // 2 :]


def nothing_of_a_database(data: bytearray, rng: random.Random) -> None:
    data[:] = b"this is a shopping list\n" * 200


@pytest.mark.parametrize(
    "damage", [no_header, every_page_but_the_first, truncated, nothing_of_a_database, a_page_in_the_middle]
)
@pytest.mark.requirement("R18")
async def test_a_corrupt_file_is_replaced_and_synced_again(
    server: RunningServer, tmp_path: Path, seed: int, damage: Callable[[bytearray, random.Random], None]
) -> None:
    await server.add_users("bob")
    async with server.client("bob") as bob, server.client("alice", data_dir=tmp_path) as alice:
        watch = EventRecorder(alice)
        for i in range(60):
            await bob.c2c("alice").send(f"{i} {'y' * 500}")
        await watch.wait_for_messages(60)
        assert len(await alice.c2c("bob").get_messages(100)) == 60
        file = store_of(alice)
    data = bytearray(file.read_bytes())
    damage(data, random.Random(seed))
    file.write_bytes(data)
    told: list[Path] = []
    for _ in range(3):  # damage may be found only by a query during a run; then the next start replaces the file
        again = server.client("alice", data_dir=tmp_path)
        watch = EventRecorder(again, StoreReplaced)
        try:
            async with again:
                held = [m.text async for m in again.c2c("bob").history(oldest_first=True)]
        except StorageError:
            continue
        finally:
            told += [event.path for event in watch.events if isinstance(event, StoreReplaced)]
        assert held == [f"{i} {'y' * 500}" for i in range(60)]
        break
    else:
        pytest.fail("the client did not recover in three starts")
    if damage is not a_page_in_the_middle:  # damage to an unused page is not noticed
        assert told
    for path in told:
        assert path.read_bytes()[:24] == bytes(data[:24]), "the moved file must be the corrupt one, unchanged"


@pytest.mark.requirement("R18")
async def test_a_store_that_delivers_before_it_stores_is_detected(server: RunningServer, tmp_path: Path, seed: int) -> None:
    """Test a mutant whose store reports messages as new and then loses their rows."""
    add = writes.ingest

    def forgets(connection: sqlite3.Connection, batch: types.IngestBatch) -> types.IngestResult:
        connection.execute("SAVEPOINT mutant")
        stored = add(connection, batch)
        connection.execute("ROLLBACK TO mutant")
        return stored

    await server.add_users("alice", "bob")
    thrown: list[Message] = []
    async with server.client("alice") as alice:
        for i in range(2):
            with patch.object(writes, "ingest", forgets):
                bob = server.client("bob", data_dir=tmp_path)
                watch = EventRecorder(bob)
                async with bob:
                    await alice.c2c("bob").send(str(i))
                    await watch.wait_for_message(lambda m, i=i: m.text == str(i))  # type: ignore[misc]
            thrown += watch.messages
    texts = [m.text for m in thrown]
    assert len(texts) != len(set(texts)), "the mutant delivered no message twice"

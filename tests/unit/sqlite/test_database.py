"""SQLite files of one process: what each keeps of its order, and which of them goes first."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from timim import StorageError
from timim.sqlite.batching_queue import BatchingQueue
from timim.sqlite.database import QUEUE_LIMIT, Database
from timim.sqlite.lanes import READERS, WRITERS, Op, working


def nothing(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE IF NOT EXISTS t(n INTEGER)")


@pytest.fixture
async def files(tmp_path: Path) -> AsyncIterator[list[Database]]:
    """More than there are threads for."""
    async with AsyncExitStack() as stack:
        opened = [Database(tmp_path / f"{n}.db", migrate=nothing) for n in range(READERS + WRITERS + 1)]
        for database in opened:
            await database.open()
            stack.push_async_callback(database.close)
        yield opened


def noted(into: list[str], what: str) -> Op[None]:
    return lambda connection: into.append(what)


def waits_for(gate: threading.Event) -> Op[bool]:
    return lambda connection: gate.wait(30)


async def test_urgent_jobs_go_before_waiting_jobs_of_other_files(files: list[Database]) -> None:
    gate = threading.Event()
    done: list[str] = []
    held = files[0].submit(waits_for(gate))
    await asyncio.sleep(0)
    assert working()
    *_, one, two, three = files
    waiting = [one.submit(noted(done, "one")), two.submit(noted(done, "two")), three.submit(noted(done, "three"))]
    urgent = three.submit(noted(done, "three, urgent"), urgent=True)
    gate.set()
    await asyncio.gather(held, *waiting, urgent)
    assert done == ["three", "three, urgent", "one", "two"], "before other files, and behind what its own was given before"


async def test_long_reads_hold_up_no_write(files: list[Database]) -> None:
    gate = threading.Event()
    reads = [asyncio.create_task(database.read(waits_for(gate))) for database in files]
    await asyncio.sleep(0)
    assert await asyncio.gather(*(database.submit(lambda connection: "written") for database in files)) == ["written"] * len(
        files
    )
    assert not any(read.done() for read in reads)
    gate.set()
    assert all(await asyncio.gather(*reads))


async def test_each_file_keeps_the_order_of_its_writes_whatever_is_urgent(files: list[Database]) -> None:
    done: dict[int, list[int]] = {n: [] for n in range(len(files))}

    def note(file: int, number: int) -> Op[None]:
        return lambda connection: done[file].append(number)

    writes = [
        database.submit(note(file, number), urgent=(file + number) % 3 == 0)
        for number in range(200)
        for file, database in enumerate(files)
    ]
    await asyncio.gather(*writes)
    assert all(numbers == list(range(200)) for numbers in done.values())
    assert working() <= len(files), "a thread may still be leaving its last batch"


async def test_writes_of_one_turn_are_committed_together_and_reported_in_order(tmp_path: Path) -> None:
    parts: list[list[int]] = []

    def write(connection: sqlite3.Connection, numbers: object) -> list[int]:
        assert isinstance(numbers, list)
        parts.append(numbers)
        return [number * 10 for number in numbers]

    database = Database(tmp_path / "a.db", migrate=nothing)
    await database.open()
    gathered: BatchingQueue[int, int] = BatchingQueue(write, database.submit)
    told: list[int | Exception] = []
    for number in range(5):
        gathered.add(number, told.append)
    await asyncio.sleep(0)
    gathered.add(5, told.append)  # while the others are being written
    gathered.flush()
    await database.close()
    assert parts == [[0, 1, 2, 3, 4], [5]]
    assert told == [0, 10, 20, 30, 40, 50]


async def test_a_closed_file_and_a_full_disk_are_reported_to_each_caller(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.db", migrate=nothing)
    await database.open()
    await database.close()
    gathered: BatchingQueue[int, int] = BatchingQueue(lambda connection, numbers: list(numbers), database.submit, manual=True)
    told: list[object] = []
    for number in range(QUEUE_LIMIT + 1):
        gathered.add(number, told.append)
    assert len(told) == 1, "the one too many hears at once"
    gathered.flush()
    assert len(told) == QUEUE_LIMIT + 1
    assert all(isinstance(one, StorageError) for one in told)

"""Tests of SQLite files through aiosqlite: the order of writes, single failures, concurrent reads, and closing."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from timim import StorageError, StoreCorrupted
from timim.sqlite.batching_queue import QUEUE_LIMIT
from timim.sqlite.connection import pending_tasks
from timim.sqlite.database import Database, batch_callback
from timim.sqlite.tasks import Operation

FILES = 5


class Numbers:
    """A schema with one table of numbers."""

    def migrate(self, connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE IF NOT EXISTS numbers(n INTEGER PRIMARY KEY)")


@pytest.fixture
async def files(tmp_path: Path) -> AsyncIterator[list[Database]]:
    async with AsyncExitStack() as stack:
        opened = [Database(tmp_path / f"{n}.db", Numbers()) for n in range(FILES)]
        for database in opened:
            await database.open()
            stack.push_async_callback(database.close)
        yield opened


@pytest.fixture
def file(files: list[Database]) -> Database:
    return files[0]


def note(number: int, done: list[int]) -> Operation[None]:
    return lambda connection: done.append(number)


def waits_for(gate: threading.Event) -> Operation[bool]:
    return lambda connection: gate.wait(30)


def store(number: int) -> Operation[int | None]:
    return lambda connection: connection.execute("INSERT INTO numbers VALUES(?)", (number,)).lastrowid


def stored(connection: sqlite3.Connection) -> list[int]:
    return [number for (number,) in connection.execute("SELECT n FROM numbers ORDER BY n")]


def store_all(connection: sqlite3.Connection, numbers: Sequence[int]) -> Sequence[str]:
    connection.executemany("INSERT INTO numbers VALUES(?)", [(number,) for number in numbers])
    return [f"{number} of {len(numbers)}" for number in numbers]


async def test_long_reads_hold_up_no_write(files: list[Database]) -> None:
    gate = threading.Event()
    reads = [asyncio.create_task(database.read(waits_for(gate))) for database in files]
    await asyncio.sleep(0)
    assert pending_tasks() == FILES
    writes = await asyncio.gather(*(database.write(lambda connection: "written") for database in files))
    assert writes == ["written"] * FILES
    assert not any(read.done() for read in reads)
    gate.set()
    assert all(await asyncio.gather(*reads))
    assert not pending_tasks()


async def test_a_long_write_of_one_file_holds_up_no_other_file(files: list[Database]) -> None:
    gate = threading.Event()
    first, *others = files
    held = first.submit(waits_for(gate))
    assert await asyncio.gather(*(database.write(lambda connection: "written") for database in others))
    assert not held.done()
    gate.set()
    assert await held


async def test_each_file_keeps_the_order_of_its_writes(files: list[Database]) -> None:
    done: dict[int, list[int]] = {n: [] for n in range(FILES)}
    writes: list[asyncio.Future[None]] = []
    for number in range(200):
        writes += [database.submit(note(number, done[file])) for file, database in enumerate(files)]
        if number % 7 == 0:
            await asyncio.sleep(0)  # so that some writes are queued while others are executed
    await asyncio.gather(*writes)
    assert all(numbers == list(range(200)) for numbers in done.values())


async def test_neighbours_of_one_operation_are_written_by_one_call(file: Database) -> None:
    told: list[object] = []
    for number in (1, 2):
        file.add(store_all, number, told.append)
    alone = file.submit(store(3))
    for number in (4, 5, 6):
        file.add(store_all, number, told.append)
    assert await alone == 3
    assert told == ["1 of 2", "2 of 2", "4 of 3", "5 of 3", "6 of 3"]
    assert await file.read(stored) == [1, 2, 3, 4, 5, 6]


class Writer:
    """An object with a method that gets the results of its writes together."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[int], list[object]]] = []

    @batch_callback
    def on_written(self, numbers: Sequence[int], results: Sequence[object]) -> None:
        self.calls.append((list(numbers), list(results)))


async def test_a_batch_callback_gets_the_neighbours_of_one_object_in_one_call(file: Database) -> None:
    one, other, told = Writer(), Writer(), list[object]()
    for number in (1, 2):
        file.add(store_all, number, one.on_written)
    file.add(store_all, 3, told.append)
    file.add(store_all, 4, one.on_written)
    file.add(store_all, 5, other.on_written)
    await file.submit(store(6))
    assert one.calls == [([1, 2], ["1 of 5", "2 of 5"]), ([4], ["4 of 5"])]
    assert (other.calls, told) == ([([5], ["5 of 5"])], ["3 of 5"])


async def test_a_batch_callback_gets_the_errors_of_its_items(file: Database) -> None:
    writer = Writer()
    await file.close()
    file.add(store_all, 1, writer.on_written)
    await file.close()
    (((number,), (error,)),) = writer.calls
    assert number == 1
    assert isinstance(error, StorageError)


async def test_a_write_that_raises_is_undone_alone(file: Database) -> None:
    def half_done(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO numbers VALUES(10)")
        raise KeyError("half done")

    results = await asyncio.gather(
        file.submit(store(1)), file.submit(half_done), file.submit(store(1)), file.submit(store(2)), return_exceptions=True
    )
    assert (results[0], results[3]) == (1, 2)
    assert isinstance(results[1], KeyError), "an error of the program must not be translated"
    assert isinstance(results[2], StorageError), "an error of SQLite must be translated"
    assert await file.read(stored) == [1, 2]


async def test_a_lone_write_that_raises_leaves_nothing(file: Database) -> None:
    await file.write(store(1))
    with pytest.raises(StorageError, match="UNIQUE"):
        await file.write(lambda connection: (store(2)(connection), store(1)(connection)))
    assert await file.read(stored) == [1]
    await file.write(store(3))
    assert await file.read(stored) == [1, 3]


async def test_a_read_sees_one_snapshot(file: Database) -> None:
    entered, gate = threading.Event(), threading.Event()

    def twice(connection: sqlite3.Connection) -> tuple[list[int], list[int]]:
        before = stored(connection)
        entered.set()
        gate.wait(30)
        return before, stored(connection)

    reading = asyncio.create_task(file.read(twice))
    await asyncio.to_thread(entered.wait, 30)
    await file.write(store(1))
    gate.set()
    assert await reading == ([], [])
    assert await file.read(stored) == [1]


async def test_a_fresh_read_sees_all_earlier_writes(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.db", Numbers(), fresh_reads=True)
    await database.open()
    told: list[object] = []
    database.submit(store(1))
    database.add(store_all, 2, told.append, defer=True)
    assert await database.read(stored) == [1, 2]
    assert told == ["2 of 1"]
    await database.close()


async def test_a_write_cannot_be_made_by_a_read(file: Database) -> None:
    with pytest.raises(StorageError, match="readonly"):
        await file.read(store(1))


async def test_a_cancelled_caller_stops_waiting_and_its_write_and_later_ones_go_on(file: Database) -> None:
    gate = threading.Event()
    held = file.submit(waits_for(gate))
    waiting = asyncio.create_task(file.write(store(1)))
    reading = asyncio.create_task(file.read(waits_for(gate)))
    await asyncio.sleep(0)
    waiting.cancel()
    reading.cancel()
    await asyncio.wait([waiting, reading])
    assert waiting.cancelled()
    assert reading.cancelled()
    gate.set()
    assert await held
    assert await file.write(store(2)) == 2
    assert await file.read(stored) == [1, 2], "each call must get its own result"


async def test_closing_executes_the_queued_writes(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.db", Numbers())
    await database.open()
    told: list[object] = []
    writes = [database.submit(store(number)) for number in range(10)]
    database.add(store_all, 10, told.append)
    database.add(store_all, 11, told.append, defer=True)
    await database.close()
    assert [await write for write in writes] == list(range(10))
    assert told == ["10 of 2", "11 of 2"]
    await database.open()
    assert await database.read(stored) == list(range(12))
    await database.close()


async def test_cancelling_a_close_leaves_a_closed_file(tmp_path: Path) -> None:
    gate = threading.Event()
    database = Database(tmp_path / "a.db", Numbers())
    await database.open()
    held = database.submit(waits_for(gate))
    closing = asyncio.create_task(database.close())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])
    gate.set()
    assert await held
    await database.close()
    with pytest.raises(StorageError, match="closed"):
        await database.write(store(1))


async def test_cancelling_an_open_leaves_a_closed_file(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.db", Numbers())
    opening = asyncio.create_task(database.open())
    await asyncio.sleep(0)
    opening.cancel()
    await asyncio.wait([opening])
    assert opening.cancelled()
    with pytest.raises(StorageError, match="closed"):
        await database.read(stored)
    await database.open()
    assert await database.read(stored) == []
    await database.close()


async def test_each_call_on_a_closed_file_is_refused(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.db", Numbers())
    await database.open()
    await database.close()
    for call in (database.write(store(1)), database.read(stored)):
        with pytest.raises(StorageError, match="closed"):
            await call
    told: list[object] = []
    for number in range(3):
        database.add(store_all, number, told.append)
    await database.close()
    assert [type(error) for error in told] == [StorageError] * 3


async def test_a_write_above_the_queue_limit_is_refused_at_once(file: Database) -> None:
    gate = threading.Event()
    held = file.submit(waits_for(gate))
    await asyncio.sleep(0)
    told: list[object] = []
    for number in range(1, QUEUE_LIMIT):
        file.add(store_all, number, told.append, defer=number % 2 == 0)
    assert not told
    file.add(store_all, QUEUE_LIMIT, told.append)
    assert isinstance(told[0], StorageError), "a write above the limit must fail at once"
    with pytest.raises(StorageError, match="are queued"):
        file.submit(store(QUEUE_LIMIT))
    gate.set()
    await held


async def test_a_file_that_is_no_database_is_corrupt_and_marked(tmp_path: Path) -> None:
    path, suspect = tmp_path / "a.db", tmp_path / "a.suspect"
    await asyncio.to_thread(path.write_bytes, b"a shopping list\n" * 1000)
    database = Database(path, Numbers(), suspect=suspect)
    with pytest.raises(StoreCorrupted):
        await database.open()
    assert await asyncio.to_thread(suspect.exists)
    await database.close()


async def test_a_file_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    database = Database(tmp_path / "no" / "a.db", Numbers())
    with pytest.raises(StorageError, match="cannot open"):
        await database.open()
    await database.close()


async def test_memory_needs_no_file() -> None:
    database = Database(None, Numbers())
    await database.open()
    await database.write(store(1))
    assert await database.read(stored) == [1]
    await database.close()


def test_an_event_loop_that_ends_closes_a_file_that_was_left_open(tmp_path: Path) -> None:
    """Test a program that forgets to close a file: Python waits for aiosqlite's threads and would never end."""
    before = threading.enumerate()
    database = Database(tmp_path / "a.db", Numbers())
    with asyncio.Runner() as runner:
        runner.run(database.open())
        assert runner.run(database.write(store(1))) == 1
        new = [thread for thread in threading.enumerate() if thread not in before]
        assert len(new) == 2
    for thread in new:
        thread.join(30)
    assert not any(thread.is_alive() for thread in new)

"""Tests of the queue that collects batches: order, batches, deferred items, the limit, and executors that take a part."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from timim import StorageError
from timim.sqlite.batching_queue import BatchingQueue


class Recorder:
    """An executor that records its batches, and waits until `let_go` is set."""

    def __init__(self, *, takes: int = 1000) -> None:
        self.batches: list[list[int]] = []
        self.let_go = asyncio.Event()
        self.let_go.set()
        self._takes = takes

    async def execute_batch(self, items: Sequence[int], /) -> Sequence[int | Exception]:
        self.batches.append(list(items))
        await self.let_go.wait()
        if 13 in items:
            raise ValueError("thirteen")
        return [item * 10 for item in items[: self._takes]]


async def test_items_of_one_turn_are_a_batch_and_items_added_meanwhile_the_next() -> None:
    executor = Recorder()
    queue: BatchingQueue[int, int] = BatchingQueue(executor)
    told: list[int | Exception] = []
    executor.let_go.clear()
    for number in range(5):
        queue.add(number, told.append)
    await asyncio.sleep(0)
    for number in (5, 6):
        queue.add(number, told.append)
    assert (len(queue), told) == (7, [])
    executor.let_go.set()
    await queue.drain()
    assert executor.batches == [[0, 1, 2, 3, 4], [5, 6]]
    assert told == [0, 10, 20, 30, 40, 50, 60]
    assert len(queue) == 0


async def test_deferred_items_wait_for_the_flush_and_follow_the_added_ones() -> None:
    executor = Recorder()
    queue: BatchingQueue[int, int] = BatchingQueue(executor)
    told: list[int | Exception] = []
    queue.defer(1, told.append)
    queue.add(2, told.append)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert executor.batches == [[2]]
    queue.flush()
    queue.add(3, told.append)
    await queue.drain()
    assert executor.batches == [[2], [1, 3]]
    assert told == [20, 10, 30]


async def test_a_batch_has_a_limit_and_an_executor_may_take_less() -> None:
    executor = Recorder(takes=2)
    queue: BatchingQueue[int, int] = BatchingQueue(executor, batch_limit=3)
    told: list[int | Exception] = []
    for number in range(5):
        queue.add(number, told.append)
    await queue.drain()
    assert executor.batches == [[0, 1, 2], [2, 3, 4], [4]]
    assert told == [0, 10, 20, 30, 40]


async def test_an_executor_that_raises_fails_its_batch_and_no_other() -> None:
    queue: BatchingQueue[int, int] = BatchingQueue(Recorder())
    failing = [queue.submit(number) for number in (12, 13)]
    await asyncio.wait(failing)
    assert [type(future.exception()) for future in failing] == [ValueError, ValueError]
    assert await queue.submit(14) == 140


async def test_an_item_added_by_a_callback_is_executed_too() -> None:
    executor = Recorder()
    queue: BatchingQueue[int, int] = BatchingQueue(executor)
    told: list[int | Exception] = []
    queue.add(1, lambda result: queue.add(2, told.append))
    await queue.drain()
    assert told == [20]


async def test_an_item_above_the_limit_is_refused_at_once() -> None:
    queue: BatchingQueue[int, int] = BatchingQueue(Recorder(), queue_limit=3)
    told: list[int | Exception] = []
    for number in range(2):
        queue.add(number, told.append)
    queue.defer(2, told.append)
    queue.add(3, told.append)
    assert [type(error) for error in told] == [StorageError]
    assert str(told[0]).startswith("3 writes are queued, which is the limit")
    with pytest.raises(StorageError):
        await queue.submit(4)
    await queue.drain()
    assert told[1:] == [0, 10, 20]


async def test_a_cancelled_caller_stops_waiting_and_its_item_is_executed() -> None:
    executor = Recorder()
    queue: BatchingQueue[int, int] = BatchingQueue(executor)
    cancelled, other = queue.submit(1), queue.submit(2)
    cancelled.cancel()
    assert await other == 20
    assert executor.batches == [[1, 2]]

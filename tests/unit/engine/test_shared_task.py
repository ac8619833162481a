"""Tests of SharedTask, which runs one task for several callers."""

from __future__ import annotations

import asyncio

import pytest

from timim import NotLoggedIn
from timim.engine.shared_task import SharedTask


class Work:
    """A function that counts its starts and ends, and that waits until it may end."""

    def __init__(self) -> None:
        self.started = self.cancelled = 0
        self.end = asyncio.Event()

    async def __call__(self) -> None:
        self.started += 1
        try:
            await self.end.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


async def _started(shared: SharedTask, work: Work) -> asyncio.Task[None]:
    before = work.started
    caller = asyncio.create_task(shared.run(work, name="work"))
    for _ in range(3):
        await asyncio.sleep(0)
    assert work.started >= before
    return caller


async def test_callers_share_one_task_and_its_result() -> None:
    shared, work = SharedTask(), Work()
    callers = [await _started(shared, work) for _ in range(3)]
    work.end.set()
    assert await asyncio.gather(*callers) == [None] * 3
    assert work.started == 1


async def test_the_task_goes_on_until_the_last_caller_is_cancelled() -> None:
    shared, work = SharedTask(), Work()
    first, second = await _started(shared, work), await _started(shared, work)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert work.cancelled == 0
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    assert work.cancelled == 1


async def test_callers_of_an_earlier_run_do_not_count_for_the_next_one() -> None:
    shared, work = SharedTask(), Work()
    earlier = await _started(shared, work)
    await shared.cancel()
    later = asyncio.create_task(shared.run(work, name="work"))  # starts before the earlier caller has noticed the end
    with pytest.raises(NotLoggedIn):
        await earlier
    later.cancel()
    await asyncio.gather(later, return_exceptions=True)
    caller = await _started(shared, work)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    assert work.started == work.cancelled


async def test_an_error_reaches_all_callers() -> None:
    async def fail() -> None:
        raise ValueError("a fault")

    shared = SharedTask()
    results = await asyncio.gather(*(shared.run(fail, name="work") for _ in range(2)), return_exceptions=True)
    assert [str(result) for result in results] == ["a fault", "a fault"]

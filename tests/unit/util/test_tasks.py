"""Tests that a group of tasks does not hide the cancellation of its owner."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from timim.errors import ConnectionFailed, TimimError
from timim.util.tasks import gather_cancelling

Run = Callable[..., Coroutine[Any, Any, None]]


async def in_a_group(*works: Coroutine[Any, Any, None]) -> None:
    """Gather without cancelling, the mutant of `gather_cancelling`."""
    async with asyncio.TaskGroup() as tasks:
        for work in works:
            tasks.create_task(work)


async def keeps_trying(run: Run) -> None:
    """Retry a failing call without end, as a connection does."""
    while True:
        try:
            await run(fails())
        except* TimimError:
            pass
        await asyncio.sleep(0)


async def fails() -> None:
    await asyncio.sleep(0)
    raise ConnectionFailed("the link ended")


async def cancelled_as_it_fails(run: Run) -> bool:
    """Return True if one cancellation ends the task, at each moment of its first tries."""
    for moment in range(12):
        task = asyncio.create_task(keeps_trying(run))
        for _ in range(moment):
            await asyncio.sleep(0)
        task.cancel()
        for _ in range(20):
            await asyncio.sleep(0)
        ended = task.done()
        while not task.done():
            task.cancel()
            await asyncio.sleep(0)
        if not ended:
            return False
    return True


async def test_a_cancellation_during_a_failure_stays_a_cancellation() -> None:
    assert await cancelled_as_it_fails(gather_cancelling)


async def test_a_plain_task_group_loses_the_cancellation() -> None:
    assert await cancelled_as_it_fails(in_a_group) == (sys.version_info >= (3, 13))  # Python 3.13 corrected this


async def test_the_first_error_is_raised_as_itself() -> None:
    with pytest.raises(ConnectionFailed, match="the link ended"):
        await gather_cancelling(asyncio.Event().wait(), fails())

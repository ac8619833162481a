"""Running several coroutines at once, so that none outlives the others."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def gather_cancelling(*works: Coroutine[Any, Any, object]) -> None:
    """Run coroutines until all have ended; if one raises, cancel the others and raise its error unwrapped.

    Cancellation cancels all of them, and raises CancelledError even if one fails at that moment. A TaskGroup of Python
    3.11 raises only the failure then, and a caller that retries after failures would never end.
    """
    tasks = [asyncio.create_task(work) for work in works]
    failed: list[asyncio.Task[object]] = []
    try:
        if tasks:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            failed = [task for task in tasks if task in done and not task.cancelled() and task.exception() is not None]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in failed:
        task.result()

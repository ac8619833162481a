"""Tasks that live and end together."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def together(*works: Coroutine[Any, Any, object]) -> None:
    """Run all until they end; when one raises, the others are cancelled and waited for, and its error is raised as itself.

    Cancelling cancels them all, and raises CancelledError also when one fails in that very moment: a TaskGroup of Python
    3.11 raises the failure alone then, and who tries again after a failure would never end.
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

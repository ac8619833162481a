"""A server that settles its writes, and so acks them, before their commit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from timim.cli import main
from timim.sqlite import database, tasks
from timim.util.failpoints import Failpoint

EARLY_S = 0.02  # time for an ack to leave the process
failpoint = tasks.failpoint  # type: ignore[attr-defined]
executed: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []  # for the batch that is being executed
unfinished: set[asyncio.Task[None]] = set()


def die_late(name: Failpoint) -> None:
    if name == "before-commit":
        loop, event = executed.pop()
        loop.call_soon_threadsafe(event.set)
        time.sleep(EARLY_S)
    failpoint(name)


async def execute_early(self: database.Database, writes: Sequence[tasks.Write]) -> Sequence[Any]:
    task, event = tasks.WriteTask(writes, self._errors), asyncio.Event()
    executed.append((asyncio.get_running_loop(), event))
    committing = asyncio.create_task(self._connections["writer"].execute(task))
    committing.add_done_callback(lambda _: event.set())
    await event.wait()
    unfinished.add(committing)
    committing.add_done_callback(unfinished.discard)
    return task.results


tasks.failpoint = die_late  # type: ignore[attr-defined]
database.Database.execute_batch = execute_early  # type: ignore[method-assign]

if __name__ == "__main__":
    main()

"""Lanes, one for the writes and one for the reads of each SQLite file, and the few threads of a process that carry them on.

A thread each would have a hundred clients in one program fight for the interpreter, at four times the cost of the work itself.
For the same reason one of them at a time carries out statements, while others wait for the disk. What somebody waits for, who
could give more to do meanwhile, is urgent: it goes before what waits of other files.
"""

from __future__ import annotations

import asyncio
import os
import queue
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, TypeVar

T = TypeVar("T")
Op = Callable[[sqlite3.Connection], T]

WRITERS = 2  # threads of a process: one carries out statements while another waits for the disk; more get in each other's way
READERS = 2  # and those of all else: a long read holds up no write


@dataclass(slots=True)
class Job:
    """What somebody waits for."""

    op: Op[Any]
    future: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = None


Rest = Callable[[], None]  # of a batch whose statements were carried out: its commit


class _Pool:
    """So many threads, once there is something to do for each, for as long as the process lives."""

    def __init__(self, name: str, size: int) -> None:
        self._name = name
        self._size = size
        self._started = 0
        self._waiting: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def give(self, work: Callable[[], None]) -> None:
        if self._started < self._size:
            self._started += 1
            threading.Thread(target=self._serve, name=f"timim-{self._name}-{self._started}", daemon=True).start()
        self._waiting.put(work)

    def _serve(self) -> None:
        while True:
            self._waiting.get()()


class Threads:
    """Threads that carry out whatever lanes have waiting.

    A batch of writes has two parts: its statements, of one batch at a time, and the rest, which waits for the disk. Which batch
    is the next is decided when its statements can begin: what is urgent does not wait behind what came before it.
    """

    def __init__(self) -> None:
        # both ends of a deque are safe without a lock
        self._urgent: deque[Callable[[], Rest | None]] = deque()
        self._others: deque[Callable[[], Rest | None]] = deque()
        self._turn = deque([True])  # who has it sees to it that statements are carried out
        self._writers = _Pool("writer", WRITERS)
        self._readers = _Pool("reader", READERS)
        self._under_way: deque[None] = deque()

    def __len__(self) -> int:
        """How much waits or is being carried out; what a loop is told of it, it was told before."""
        return len(self._under_way)

    def run(self, work: Callable[[], None]) -> None:
        """`work` must not raise, and must end."""
        self._under_way.append(None)
        self._readers.give(partial(self._carry_out, work))

    def write(self, work: Callable[[], Rest | None], *, urgent: bool = False) -> None:
        """`work` carries out statements and returns what is left to do then; neither must raise, and both must end."""
        self._under_way.append(None)
        (self._urgent if urgent else self._others).append(work)
        self._next_write()

    def _next_write(self) -> None:
        while self._urgent or self._others:
            try:
                self._turn.pop()
            except IndexError:
                return  # who has it looks again when it gives it back
            if self._urgent or self._others:
                self._writers.give(partial(self._carry_out, self._write))
                return
            self._turn.append(True)

    def _write(self) -> None:
        try:
            work = self._urgent.popleft() if self._urgent else self._others.popleft()  # nobody else takes any: it has the turn
            rest = work()
        finally:
            self._turn.append(True)
            self._next_write()
        if rest is not None:
            rest()

    def _carry_out(self, work: Callable[[], None]) -> None:
        work()
        self._under_way.pop()


@cache
def threads() -> Threads:
    """Those of this process."""
    return Threads()


def working() -> int:
    """How much the threads of this process have to do."""
    return len(threads())


if hasattr(os, "register_at_fork"):  # a forked child has the queue but not its threads, and would wait for ever
    os.register_at_fork(after_in_child=threads.cache_clear)


class Lane:
    """Jobs of one file that are carried out in their order, up to `limit` together, by one thread at a time."""

    def __init__(self, carry_out: Callable[[list[Job]], Rest | None], *, limit: int) -> None:
        self._carry_out = carry_out
        self._limit = limit
        self._jobs: deque[Job] = deque()
        self._queued = 0  # for a thread: 1, 2: before what is not urgent
        self._idle = deque([True])  # who pops it drives the lane; both ends of a deque are safe without a lock

    def __len__(self) -> int:
        return len(self._jobs)

    def put(self, job: Job, *, urgent: bool = False) -> None:
        """Carry it out behind those that were put before; `urgent`: before what waits of other lanes."""
        self._jobs.append(job)
        self._drive(urgent=urgent)

    def _drive(self, *, urgent: bool = False) -> None:
        if self._queued < 1 + urgent:
            self._queued = 1 + urgent
            self._queue(urgent=urgent)

    def _queue(self, *, urgent: bool) -> None:
        threads().write(self._next, urgent=urgent)

    def _next(self) -> Rest | None:
        self._queued = 0  # what is put from here on comes again
        try:
            self._idle.pop()
        except IndexError:
            return None  # another thread is at it, and looks for more when it is done
        batch: list[Job] = []
        while self._jobs and len(batch) < self._limit:
            batch.append(self._jobs.popleft())
        rest = self._carry_out(batch) if batch else None
        return partial(self._end, rest)

    def _end(self, rest: Rest | None) -> None:
        if rest is not None:
            rest()
        self._idle.append(True)
        if self._jobs:
            self._drive()  # behind the other lanes: none keeps a thread for itself


class ReadLane(Lane):
    """Of reads, none of which has to wait for a turn: each has its snapshot."""

    def _queue(self, *, urgent: bool) -> None:
        threads().run(self._read)

    def _read(self) -> None:
        if (rest := self._next()) is not None:
            rest()

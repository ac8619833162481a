"""A queue of items that are added one by one and executed in batches, with a callback for each item's result."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from ..errors import StorageError

__all__ = ["BATCH_LIMIT", "QUEUE_LIMIT", "BatchExecutor", "BatchingQueue", "Together", "resolve"]

I_contra = TypeVar("I_contra", contravariant=True)  # an item
R_co = TypeVar("R_co", covariant=True)
I = TypeVar("I")  # noqa: E741
R = TypeVar("R")

BATCH_LIMIT = 512  # items in one batch, to limit the wait of the first one
QUEUE_LIMIT = 20_000  # queued items; above the limit callers get StorageError


class BatchExecutor(Protocol[I_contra, R_co]):
    """Executes batches, one at a time."""

    async def execute_batch(self, items: Sequence[I_contra], /) -> Sequence[R_co | Exception]:
        """Execute items in their order.

        Returns:
            A result or an error for each of the first items, at least one. The other items are put at the front of the
            next batch.

        Raises:
            Exception: All items failed.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Together(Generic[I, R]):
    """A callback that gets the results of consecutive items in one call, with the items and the results in two sequences."""

    on_done: Callable[[Sequence[I], Sequence[R | Exception]], None]


OnDone: TypeAlias = Together[I, R] | Callable[[R | Exception], None]


class BatchingQueue(Generic[I, R]):
    """The queue of a database, in the order in which items were added.

    Items that are added in one iteration of the event loop, or while a batch is being executed, are in the next batch, up to
    `batch_limit` items. A task of the queue executes batches until the queue is empty.
    """

    def __init__(
        self, executor: BatchExecutor[I, R], *, batch_limit: int = BATCH_LIMIT, queue_limit: int = QUEUE_LIMIT
    ) -> None:
        self._executor = executor
        self._batch_limit = batch_limit
        self._queue_limit = queue_limit
        self._waiting: deque[tuple[I, OnDone[I, R]]] = deque()
        self._deferred: list[tuple[I, OnDone[I, R]]] = []
        # executes batches while items are queued; done if the end of an event loop has cancelled it before its first step
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """Return the number of items that are queued or being executed."""
        return len(self._waiting) + len(self._deferred)

    def add(self, item: I, on_done: OnDone[I, R]) -> None:
        """Queue an item for execution after all earlier ones.

        Args:
            item: An item for the executor.
            on_done: Called with the result, or with StorageError if the queue is full. Must not raise, nor block. A callback
                costs a tenth of a future, and one for consecutive items (`Together`) less than that.
        """
        if len(self._waiting) + len(self._deferred) >= self._queue_limit:
            self._refuse(item, on_done)
            return
        self._waiting.append((item, on_done))
        if self._task is None or self._task.done():
            self._start()

    def defer(self, item: I, on_done: OnDone[I, R]) -> None:
        """Queue an item that waits for the next `flush()`; `on_done` is called as by `add()`."""
        if len(self._waiting) + len(self._deferred) >= self._queue_limit:
            self._refuse(item, on_done)
        else:
            self._deferred.append((item, on_done))

    def flush(self) -> None:
        """Queue the deferred items for execution now."""
        if self._deferred:
            self._waiting.extend(self._deferred)
            self._deferred.clear()
            if self._task is None or self._task.done():
                self._start()

    def submit(self, item: I) -> asyncio.Future[R]:
        """Add an item and return a future of its result. Cancelling the future does not cancel the execution."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self.add(item, partial(resolve, future))
        return future

    async def drain(self) -> None:
        """Wait until all items are executed, including deferred ones."""
        self.flush()
        while self._task is not None and not self._task.done():
            await asyncio.wait((self._task,))

    def _refuse(self, item: I, on_done: OnDone[I, R]) -> None:
        full = f"{self._queue_limit} writes are queued, which is the limit: the disk is too slow; retry later"
        _report([(item, on_done)], [StorageError(full)])

    def _start(self) -> None:
        self._task = asyncio.create_task(self._execute_all(), name="timim batching queue")

    async def _execute_all(self) -> None:
        try:
            while self._waiting:
                items = [item for item, _ in islice(self._waiting, self._batch_limit)]
                results: Sequence[R | Exception]
                try:
                    results = await self._executor.execute_batch(items)
                except Exception as exc:  # noqa: BLE001  passed to the callbacks
                    results = [exc] * len(items)
                _report([self._waiting.popleft() for _ in results], results)
        except asyncio.CancelledError:  # the event loop is being closed
            while self._waiting:
                _report([self._waiting.popleft()], [StorageError("the event loop was closed before the write")])
            raise
        finally:
            self._task = None


def _report(done: Sequence[tuple[I, OnDone[I, R]]], results: Sequence[R | Exception]) -> None:
    """Call the callbacks of items, in order; a `Together` gets its consecutive items in one call."""
    first = 0
    while first < len(done):
        end, on_done = first + 1, done[first][1]
        if isinstance(on_done, Together):
            while end < len(done) and done[end][1] is on_done:
                end += 1
            on_done.on_done([item for item, _ in done[first:end]], results[first:end])
        else:
            on_done(results[first])
        first = end


def resolve(future: asyncio.Future[Any], result: object) -> None:
    """Set the result or the error of a future, unless its caller was cancelled."""
    if future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)

"""A queue of items that are added one by one and executed in batches, with a callback for each item's result."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar

from ..errors import StorageError

__all__ = ["BATCH_LIMIT", "QUEUE_LIMIT", "BatchExecutor", "BatchingQueue"]

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
        self._waiting: deque[tuple[I, Callable[[R | Exception], None]]] = deque()
        self._deferred: list[tuple[I, Callable[[R | Exception], None]]] = []
        self._running = False
        self._tasks: set[asyncio.Task[None]] = set()  # the running task, and tasks that have just ended

    def __len__(self) -> int:
        """Return the number of items that are queued or being executed."""
        return len(self._waiting) + len(self._deferred)

    def add(self, item: I, on_done: Callable[[R | Exception], None]) -> None:
        """Queue an item for execution after all earlier ones.

        Args:
            item: An item for the executor.
            on_done: Called with the result, or with StorageError if the queue is full. Must not raise, nor block. A callback
                costs a tenth of a future.
        """
        if self._has_room(on_done):
            self._waiting.append((item, on_done))
            self._start()

    def defer(self, item: I, on_done: Callable[[R | Exception], None]) -> None:
        """Queue an item that waits for the next `flush()`; `on_done` is called as by `add()`."""
        if self._has_room(on_done):
            self._deferred.append((item, on_done))

    def flush(self) -> None:
        """Queue the deferred items for execution now."""
        if self._deferred:
            self._waiting.extend(self._deferred)
            self._deferred.clear()
            self._start()

    def submit(self, item: I) -> asyncio.Future[R]:
        """Add an item and return a future of its result. Cancelling the future does not cancel the execution."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self.add(item, partial(_resolve, future))
        return future

    async def drain(self) -> None:
        """Wait until all items are executed, including deferred ones."""
        self.flush()
        while self._running:
            await asyncio.wait(self._tasks)

    def _has_room(self, on_done: Callable[[R | Exception], None]) -> bool:
        if len(self._waiting) + len(self._deferred) < self._queue_limit:
            return True
        on_done(StorageError(f"{self._queue_limit} writes are queued, which is the limit: the disk is too slow; retry later"))
        return False

    def _start(self) -> None:
        if not self._running:
            self._running = True
            task = asyncio.create_task(self._execute_all(), name="timim batching queue")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _execute_all(self) -> None:
        try:
            while self._waiting:
                items = [item for item, _ in islice(self._waiting, self._batch_limit)]
                results: Sequence[R | Exception]
                try:
                    results = await self._executor.execute_batch(items)
                except Exception as exc:  # noqa: BLE001  passed to the callbacks
                    results = [exc] * len(items)
                for result in results:
                    _, on_done = self._waiting.popleft()
                    on_done(result)
        except asyncio.CancelledError:  # the event loop is being closed
            while self._waiting:
                _, on_done = self._waiting.popleft()
                on_done(StorageError("the event loop was closed before the write"))
            raise
        finally:
            self._running = False


def _resolve(future: asyncio.Future[Any], result: object) -> None:
    if future.done():
        return  # the caller was cancelled
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)

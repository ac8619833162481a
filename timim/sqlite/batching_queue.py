"""Items that are given one by one and executed in batches; who gave one is told of its own result."""

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

BATCH_LIMIT = 512  # items in one batch: bounds how long the first of them waits
QUEUE_LIMIT = 20_000  # items that wait; past it the database does not keep up and callers are told


class BatchExecutor(Protocol[I_contra, R_co]):
    """Executes batches, one at a time."""

    async def execute_batch(self, items: Sequence[I_contra], /) -> Sequence[R_co | Exception]:
        """Execute items in their order.

        Returns:
            A result, or an error, for each of the first items, one at least. The items without a result are given again,
            at the front of the next batch.

        Raises:
            Exception: All these items failed.
        """
        ...


class BatchingQueue(Generic[I, R]):
    """The one queue in front of a database. Its order is the order in which items were given.

    What is given in one turn of the event loop, and while a batch is executed, is in the next batch, up to `batch_limit` items.
    A task of this queue executes batches as long as something waits.
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
        self._tasks: set[asyncio.Task[None]] = set()  # the one that runs, and ones that have just ended

    def __len__(self) -> int:
        """Return how many items wait or are being executed."""
        return len(self._waiting) + len(self._deferred)

    def add(self, item: I, on_done: Callable[[R | Exception], None]) -> None:
        """Execute an item behind all that were added before.

        Args:
            item: What the executor takes.
            on_done: Called with the result, or with StorageError when too many items wait. Must not raise, nor block. A
                future for each item would cost ten times a call.
        """
        if self._takes(on_done):
            self._waiting.append((item, on_done))
            self._start()

    def defer(self, item: I, on_done: Callable[[R | Exception], None]) -> None:
        """Let an item wait for the next `flush()`. `on_done` as in `add()`."""
        if self._takes(on_done):
            self._deferred.append((item, on_done))

    def flush(self) -> None:
        """Add the deferred items now."""
        if self._deferred:
            self._waiting.extend(self._deferred)
            self._deferred.clear()
            self._start()

    def submit(self, item: I) -> asyncio.Future[R]:
        """Add an item and return a future of its result. Cancelling the future stops the waiting, not the item."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self.add(item, partial(_resolve, future))
        return future

    async def drain(self) -> None:
        """Wait until nothing is left, deferred items included."""
        self.flush()
        while self._running:
            await asyncio.wait(self._tasks)

    def _takes(self, on_done: Callable[[R | Exception], None]) -> bool:
        if len(self) < self._queue_limit:
            return True
        on_done(StorageError(f"{self._queue_limit} writes wait already: the database does not keep up"))
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
                except Exception as exc:  # noqa: BLE001  handed to who gave the items
                    results = [exc] * len(items)
                for result in results:
                    _, on_done = self._waiting.popleft()
                    on_done(result)
        except asyncio.CancelledError:  # the event loop is ending, and nobody is left to execute the rest
            while self._waiting:
                _, on_done = self._waiting.popleft()
                on_done(StorageError("the event loop ended first"))
            raise
        finally:
            self._running = False


def _resolve(future: asyncio.Future[Any], result: object) -> None:
    if future.done():
        return  # who waited was cancelled
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)

"""The store on PostgreSQL, for any number of nodes. A node's appends that wait go out together: one statement, one commit.

What was submitted is carried out in its order, by one connection; a timeline's row lock puts the nodes into an order. When
the connection is lost while an outcome is unknown, only what tells by itself that it is stored already is tried again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg
from prometheus_client import CollectorRegistry

from ....errors import InvalidArgument, StorageError, TimimError
from ....sqlite.batching_queue import BatchingQueue
from ....util.failpoints import failpoint
from ...metrics import DatabaseMetrics
from .. import timelines
from ..base import Appended, NewEntry, Store, TimelinePage
from ..operation import StartOperation
from .append import CALL, arguments
from .locks import PostgresLocks
from .pool import (
    AGAIN,
    COMMAND_TIMEOUT_S,
    LOST,
    NOT_NOW,
    RETRY_FIRST_S,
    RETRY_LIMIT_S,
    RETRY_S,
    create_pool,
    error_text,
    redact_password,
)
from .runner import MoreStatements, run
from .schema import migrate

if TYPE_CHECKING:
    from .pool import Pool

T = TypeVar("T")
log = logging.getLogger("timim.server")

APPEND_RETRIES = 2  # times that for appends: one in doubt must not be called failed; clients stop waiting and ask again
UNKNOWN_OUTCOME = "the database was lost: it is not known whether this was stored"
REPLICA_ANSWER_S = 1.0  # a page takes milliseconds; who waits for it would rather have it from the first
REPLICA_PAUSE_S = 5.0  # one that is away is asked so often, and no reader waits for it in between


@dataclass(slots=True, eq=False)
class _QueuedWrite:
    """An append, or an operation."""

    entry: NewEntry | None = None
    op: StartOperation[Any] | None = None
    in_doubt: bool = False  # carried out once already, perhaps


class PostgresEngine:
    """`replica_url`: another server that follows this one; see `read_replica`. The constructor does no I/O."""

    def __init__(
        self,
        url: str,
        *,
        replica_url: str = "",
        connections: int = 8,
        retry_s: float = RETRY_S,
        metrics: DatabaseMetrics | None = None,
    ) -> None:
        self._metrics = metrics or DatabaseMetrics(CollectorRegistry())
        self._metrics.waiting.set_function(lambda: len(self._queue) - self._executing)
        self._metrics.open.set_function(lambda: self._pool.get_size() if self._pool else 0)
        self._metrics.in_use.set_function(lambda: self._pool.get_size() - self._pool.get_idle_size() if self._pool else 0)
        self._url = url
        self._replica_url = replica_url
        self._connections = connections
        self._retry_s = retry_s
        self._pool: Pool | None = None
        self._replica: Pool | None = None
        self._replica_paused_until = 0.0  # until then it is not asked
        self._queue: BatchingQueue[_QueuedWrite, Any] = BatchingQueue(self)
        self._executing = 0
        self._under_way: set[asyncio.Task[Any]] = set()
        self._closing = False
        self._multi_statement: set[object] = set()  # reads of more than one statement

    async def open(self) -> None:
        """Connect and migrate. Raises StorageError."""
        self._closing = False
        try:
            self._pool = await create_pool(self._url, self._connections)
            if self._replica_url:
                self._replica = await create_pool(self._replica_url, self._connections, least=0)
            async with self._pool.acquire() as connection:
                await migrate(connection)
        except (asyncpg.PostgresError, *LOST) as exc:
            await self.close()
            raise StorageError(f"cannot open the database {redact_password(self._url)}: {error_text(exc)}") from exc
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Carry out what waits, if the database answers, and leave it. Afterwards every call raises StorageError."""
        self._closing = True
        await self._queue.drain()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        for pool in (self._pool, self._replica):
            if pool is not None:
                try:
                    async with asyncio.timeout(COMMAND_TIMEOUT_S):
                        await pool.close()
                except TimeoutError:
                    pool.terminate()
        self._pool = self._replica = None

    async def append(self, entry: NewEntry) -> Appended:
        """Queue an append; those that wait go out together."""
        if entry.media:  # such entries are few, and what their sender may read is asked first
            return await self.submit(partial(timelines.append, entry))
        self._check_open()
        result: Appended = await self._queue.submit(_QueuedWrite(entry=entry))
        return result

    def submit(self, op: StartOperation[T]) -> Awaitable[T]:
        self._check_open()
        return self._queue.submit(_QueuedWrite(op=op))

    async def write(self, op: StartOperation[T]) -> T:
        """For operations that may be carried out twice: an unknown outcome is tried again."""
        task: asyncio.Task[T] = asyncio.create_task(self._retrying(partial(self._transact, op)), name="timim postgres write")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def read(self, op: StartOperation[T]) -> T:
        result: T = await self._retrying(partial(self._snapshot, self._open_pool, op))
        return result

    async def read_replica(self, op: StartOperation[T]) -> T | None:
        """From the replica, which may be behind; None when there is none, or it does not answer, or did not a moment ago."""
        loop = asyncio.get_running_loop()
        if self._replica is None or loop.time() < self._replica_paused_until:
            return None
        try:
            async with asyncio.timeout(REPLICA_ANSWER_S):
                return await self._snapshot(lambda: self._replica, op)
        except (asyncpg.PostgresError, *LOST) as exc:
            self._replica_paused_until = loop.time() + REPLICA_PAUSE_S
            log.warning(
                "the replica does not answer, history comes from the first for %s s: %s", REPLICA_PAUSE_S, error_text(exc)
            )
            return None

    # what waits, in its order

    async def execute_batch(self, items: Sequence[_QueuedWrite]) -> Sequence[Any]:
        """Execute an operation, or all appends up to the next operation."""
        if (op := items[0].op) is not None:
            self._executing = 1
            work = partial(self._retrying, partial(self._transact, op, in_order=True))
            results = [await _result(work)]
        else:
            batch = list(takewhile(lambda item: item.entry is not None, items))
            self._executing = len(batch)
            results = await self._append_all(batch)
        self._executing = 0
        return results

    async def _append_all(self, batch: list[_QueuedWrite]) -> list[Any]:
        limit_s = self._retry_s * APPEND_RETRIES
        try:
            results: list[Any] = await self._retrying(partial(self._append, batch), limit_s)
        except StorageError as exc:
            return [exc] * len(batch)
        except Exception as exc:  # noqa: BLE001  handed to who gave them
            if len(batch) == 1:
                return [exc]
            return [(await self._append_all([item]))[0] for item in batch]  # one of them is refused: it alone
        return results

    async def _append(self, batch: list[_QueuedWrite]) -> list[Any]:
        """Append a batch in one statement. An unnamed entry in doubt is not tried again: it would be stored twice."""
        live = [item for item in batch if item.entry is not None and not (item.in_doubt and item.entry.msg_key is None)]
        results: dict[int, object] = {}
        if live:
            entries = [item.entry for item in live if item.entry is not None]
            async with self._open_pool().acquire(timeout=COMMAND_TIMEOUT_S) as connection:
                failpoint("before-insert")
                failpoint("before-commit")
                try:
                    with self._metrics.commits.time():
                        rows = await connection.fetch(CALL, *arguments(entries))
                    self._metrics.batches.observe(len(entries))
                except LOST + NOT_NOW:
                    for item in live:
                        item.in_doubt = True
                    raise
            failpoint("after-commit")
            for number, seq, time, known in rows:
                item, entry = live[number - 1], entries[number - 1]
                if known is not None and known != entry.fingerprint:
                    results[id(item)] = timelines.conflict(entry)
                else:
                    # one in doubt counts as new: it was stored by this call, or is published once more, which harms nobody
                    results[id(item)] = Appended(seq, time, duplicate=known is not None and not item.in_doubt)
        return [results[id(item)] if id(item) in results else StorageError(UNKNOWN_OUTCOME) for item in batch]

    # transactions

    async def _transact(self, op: StartOperation[T], *, in_order: bool = False) -> T:
        async with self._open_pool().acquire(timeout=COMMAND_TIMEOUT_S) as connection:
            transaction = connection.transaction()
            await transaction.start()
            try:
                result = await run(connection, op)
                if in_order:  # a failpoint waits for messages and plans, not for what is written besides
                    failpoint("before-commit")
            except BaseException:
                if not connection.is_closed():
                    await transaction.rollback()
                raise
            try:
                await transaction.commit()
            except LOST + NOT_NOW as exc:
                if in_order:
                    raise StorageError(UNKNOWN_OUTCOME) from exc
                raise
            if in_order:
                failpoint("after-commit")
            return result

    async def _snapshot(self, pool: Any, op: StartOperation[T]) -> T:
        """One statement is a snapshot by itself, and spared two round trips. Which reads have more than one is learnt."""
        async with pool().acquire(timeout=COMMAND_TIMEOUT_S) as connection:
            kind = op.func if isinstance(op, partial) else op
            if kind not in self._multi_statement:
                try:
                    return await run(connection, op, one_statement=True)
                except MoreStatements:
                    self._multi_statement.add(kind)
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                return await run(connection, op)

    async def _retrying(self, work: Any, limit_s: float | None = None) -> Any:
        """Try again while the database is away, or another node was first, for `retry_s` unless said otherwise.

        Not while closing: whoever asked is gone by then, and finds out what stands at another node.
        """
        loop = asyncio.get_running_loop()
        end, wait_s = loop.time() + (self._retry_s if limit_s is None else limit_s), RETRY_FIRST_S
        while True:
            try:
                return await work()
            except TimimError:
                raise
            except asyncpg.DataError as exc:
                raise InvalidArgument(f"the database cannot hold this: {exc}", code=90005) from exc
            except (*LOST, *NOT_NOW, *AGAIN) as exc:
                if loop.time() + wait_s > end or self._closing:
                    self._metrics.errors.inc()
                    raise StorageError(f"the database does not answer: {error_text(exc)}") from exc
                self._metrics.retries.inc()
            except asyncpg.PostgresError as exc:
                self._metrics.errors.inc()
                raise StorageError(f"the database refused it: {exc}") from exc
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, RETRY_LIMIT_S)

    def _check_open(self) -> None:
        if self._pool is None or self._closing:
            raise StorageError("the database is closed")

    def _open_pool(self) -> Pool:
        if self._pool is None:
            raise StorageError("the database is closed")
        return self._pool


class ReplicatedTimelines(timelines.TimelineStore):
    """Timelines whose history may come from a replica."""

    def __init__(self, engine: PostgresEngine, metrics: DatabaseMetrics) -> None:
        super().__init__(engine)
        self._postgres = engine
        self._metrics = metrics

    async def page(self, timeline: str, first: int, last: int, limit: int) -> TimelinePage:
        """Read a page from the replica if it has the whole interval, else from the database itself."""
        page = await self._postgres.read_replica(partial(timelines.page, timeline, first, last, limit))
        if page is not None and last <= page.last_seq:
            self._metrics.replica_pages.inc()
            return page
        return await super().page(timeline, first, last, limit)


class PostgresStore(Store):
    """The store on PostgreSQL. The constructor does no I/O."""

    def __init__(self, url: str, *, metrics: DatabaseMetrics | None = None, **options: Any) -> None:
        """Take the options of PostgresEngine."""
        metrics = metrics or DatabaseMetrics(CollectorRegistry())
        self.engine = PostgresEngine(url, metrics=metrics, **options)
        super().__init__(self.engine, PostgresLocks(url), ReplicatedTimelines(self.engine, metrics))


async def _result(work: Callable[[], Awaitable[T]]) -> T | Exception:
    try:
        return await work()
    except Exception as exc:  # noqa: BLE001  handed to who gave the work
        return exc

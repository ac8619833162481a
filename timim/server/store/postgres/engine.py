"""The store on PostgreSQL, for any number of nodes. Waiting appends of a node share one statement and one commit.

Submitted writes are executed in their order, one at a time; the row lock of a timeline serializes the nodes. When the
connection is lost during a commit, the outcome is unknown: only a write that can detect its earlier execution is retried.
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
from ....util.outage import OutageLog
from ...metrics import DatabaseMetrics
from .. import timelines
from ..base import Appended, NewEntry, StaleRead, Store, TimelinePage
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

APPEND_RETRIES = 2  # appends are retried twice as long: an append that may be stored must not be reported as failed
UNKNOWN_OUTCOME = "the connection to PostgreSQL was lost during the write, which may or may not have been stored"
REPLICA_ANSWER_S = 1.0  # a page takes milliseconds; after this time the primary is faster
REPLICA_PAUSE_S = 5.0  # a replica that failed is tried again after this time; until then no reader waits for it


@dataclass(slots=True, eq=False)
class _QueuedWrite:
    """An append or an operation that waits for its execution."""

    entry: NewEntry | None = None
    op: StartOperation[Any] | None = None
    in_doubt: bool = False  # an earlier execution may have been committed


class PostgresEngine:
    """An engine that executes operations on PostgreSQL. The constructor does no I/O.

    Args:
        url: The primary server.
        replica_url: A server that replicates the primary, for `read_replica`; "" for none.
        connections: Maximum size of each connection pool.
        retry_s: Seconds for which an operation is retried while PostgreSQL is unavailable.
        metrics: Counters and gauges that the engine updates.
    """

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
        self._replica_paused_until = 0.0  # the replica is not used before this time
        self._outage = OutageLog(log, "PostgreSQL")
        self._replica_outage = OutageLog(log, "PostgreSQL replica")
        self._queue: BatchingQueue[_QueuedWrite, Any] = BatchingQueue(self)
        self._executing = 0
        self._under_way: set[asyncio.Task[Any]] = set()
        self._closing = False
        self._multi_statement: set[object] = set()  # reads that consist of several statements

    async def open(self) -> None:
        """Connect and migrate the schema.

        Raises:
            StorageError: PostgreSQL cannot be reached, refused the login, or has the schema of a newer timim.
        """
        self._closing = False
        try:
            self._pool = await create_pool(self._url, self._connections)
            if self._replica_url:
                self._replica = await create_pool(self._replica_url, self._connections, least=0)
            async with self._pool.acquire() as connection:
                await migrate(connection)
        except (asyncpg.PostgresError, *LOST) as exc:
            await self.close()
            raise StorageError(f"cannot connect to PostgreSQL at {redact_password(self._url)}: {error_text(exc)}") from exc
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Execute the queued writes if PostgreSQL responds, and disconnect. Afterwards every call raises StorageError."""
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
        """Queue an append. Waiting appends are executed in one statement."""
        # rare: the sender's access to content is checked first, and the statement knows neither kinds nor windows
        if entry.is_stored_alone or entry.kind:
            return await self.submit(partial(timelines.append, entry))
        self._check_open()
        result: Appended = await self._queue.submit(_QueuedWrite(entry=entry))
        return result

    def submit(self, op: StartOperation[T]) -> Awaitable[T]:
        self._check_open()
        return self._queue.submit(_QueuedWrite(op=op))

    async def write(self, op: StartOperation[T]) -> T:
        """Execute a write that may be executed twice: it is retried if its outcome is unknown."""
        task: asyncio.Task[T] = asyncio.create_task(self._retrying(partial(self._transact, op)), name="timim postgres write")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def read(self, op: StartOperation[T]) -> T:
        result: T = await self._retrying(partial(self._snapshot, self._open_pool, op))
        return result

    async def read_replica(self, op: StartOperation[T]) -> T | None:
        """Execute a read on the replica, which may lag behind.

        Return None if there is no replica, or if it did not respond now or within the last REPLICA_PAUSE_S.
        """
        loop = asyncio.get_running_loop()
        if self._replica is None or loop.time() < self._replica_paused_until:
            return None
        try:
            async with asyncio.timeout(REPLICA_ANSWER_S):
                result = await self._snapshot(lambda: self._replica, op)
        except (asyncpg.PostgresError, *LOST) as exc:
            self._replica_paused_until = loop.time() + REPLICA_PAUSE_S
            self._replica_outage.on_failure(f"{error_text(exc)}; history is read from the primary")
            return None
        self._replica_outage.on_success()
        return result

    # queued writes

    async def execute_batch(self, items: Sequence[_QueuedWrite]) -> Sequence[Any]:
        """Execute the first item if it is an operation, otherwise all appends before the next operation."""
        if (op := items[0].op) is not None:
            self._executing = 1
            results = [await self._execute_alone(op)]
        else:
            batch = list(takewhile(lambda item: item.entry is not None, items))
            self._executing = len(batch)
            results = await self._append_all(batch)
        self._executing = 0
        return results

    async def _execute_alone(self, op: StartOperation[T]) -> T | Exception:
        """Execute an operation in its own transaction; a single entry keeps the order of its sender."""
        entry: NewEntry | None = op.args[0] if isinstance(op, partial) and op.func is timelines.append else None
        if entry is not None and entry.is_overtaken:
            return _failed(entry)
        result = await _result(partial(self._retrying, partial(self._transact, op, in_order=True)))
        return _failed(entry) if entry is not None and isinstance(result, StaleRead) else result

    async def _append_all(self, batch: list[_QueuedWrite]) -> list[Any]:
        limit_s = self._retry_s * APPEND_RETRIES
        try:
            results: list[Any] = await self._retrying(partial(self._append, batch), limit_s)
        except StorageError as exc:
            return [exc] * len(batch)
        except Exception as exc:  # noqa: BLE001  returned to the callers of `append`
            if len(batch) == 1:
                return [exc]
            # PostgreSQL rejected one entry of the batch: only this entry may fail
            return [(await self._append_all([item]))[0] for item in batch]
        return results

    async def _append(self, batch: list[_QueuedWrite]) -> list[Any]:
        """Append a batch in one statement. An entry in doubt without a msg_key is not retried: it could be stored twice."""
        live: list[_QueuedWrite] = []
        results: dict[int, object] = {}
        for item in batch:
            if item.entry is not None and item.entry.is_overtaken:
                results[id(item)] = _failed(item.entry)
            elif item.entry is not None and not (item.in_doubt and item.entry.msg_key is None):
                live.append(item)
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
            for number, seq, time, known in sorted(rows, key=lambda row: row[0]):
                item, entry = live[number - 1], entries[number - 1]
                if not seq:
                    results[id(item)] = _failed(entry)
                elif known is not None and known != entry.fingerprint:
                    results[id(item)] = timelines.conflict(entry)
                else:
                    # an entry in doubt counts as new: publishing it twice is harmless, publishing it never is not
                    results[id(item)] = Appended(seq, time, duplicate=known is not None and not item.in_doubt)
        return [results[id(item)] if id(item) in results else StorageError(UNKNOWN_OUTCOME) for item in batch]

    # transactions

    async def _transact(self, op: StartOperation[T], *, in_order: bool = False) -> T:
        async with self._open_pool().acquire(timeout=COMMAND_TIMEOUT_S) as connection:
            transaction = connection.transaction()
            await transaction.start()
            try:
                result = await run(connection, op)
                if in_order:  # failpoints count messages and changesets, not other writes
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
        """Execute a read on one snapshot.

        A single statement needs no transaction, which saves two round trips. Reads that turned out to have several
        statements are remembered.
        """
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
        """Retry while PostgreSQL is unavailable, or after a conflict with another node.

        Retries end after `limit_s`, by default `retry_s`. While the engine closes there are none: the clients have been
        disconnected, and send their requests again to another node.

        Raises:
            StorageError: PostgreSQL stayed unavailable, or rejected the statement.
            InvalidArgument: A value cannot be stored, for example text with a NUL character.
        """
        loop = asyncio.get_running_loop()
        limit_s = self._retry_s if limit_s is None else limit_s
        end, wait_s = loop.time() + limit_s, RETRY_FIRST_S
        while True:
            try:
                result = await work()
            except TimimError:
                raise
            except asyncpg.DataError as exc:
                raise InvalidArgument(f"PostgreSQL cannot store this value: {exc}", code=90005) from exc
            except (*LOST, *NOT_NOW, *AGAIN) as exc:
                if not isinstance(exc, AGAIN):
                    self._outage.on_failure(error_text(exc))
                if loop.time() + wait_s > end or self._closing:
                    self._metrics.errors.inc()
                    raise StorageError(f"PostgreSQL is unavailable, retried for {limit_s:g} s: {error_text(exc)}") from exc
                self._metrics.retries.inc()
            except asyncpg.PostgresError as exc:
                self._metrics.errors.inc()
                raise StorageError(f"PostgreSQL rejected the statement: {exc}") from exc
            else:
                self._outage.on_success()
                return result
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, RETRY_LIMIT_S)

    def _check_open(self) -> None:
        if self._pool is None or self._closing:
            raise StorageError("the store is not open")

    def _open_pool(self) -> Pool:
        if self._pool is None:
            raise StorageError("the store is not open")
        return self._pool


class ReplicatedTimelines(timelines.TimelineStore):
    """Timelines whose history pages may be read from a replica."""

    def __init__(self, engine: PostgresEngine, metrics: DatabaseMetrics) -> None:
        super().__init__(engine)
        self._postgres = engine
        self._metrics = metrics

    async def page(self, timeline: str, first: int, last: int, limit: int, *, reader: str = "") -> TimelinePage:
        """Read a page from the replica if the replica has the whole interval, else from the primary."""
        page = await self._postgres.read_replica(partial(timelines.page, timeline, first, last, limit, reader))
        if page is not None and last <= page.last_seq:
            self._metrics.replica_pages.inc()
            return page
        return await super().page(timeline, first, last, limit, reader=reader)


class PostgresStore(Store):
    """The store on PostgreSQL. The constructor does no I/O."""

    def __init__(self, url: str, *, metrics: DatabaseMetrics | None = None, **options: Any) -> None:
        """Create a store whose `options` are passed to PostgresEngine."""
        metrics = metrics or DatabaseMetrics(CollectorRegistry())
        self.engine = PostgresEngine(url, metrics=metrics, **options)
        super().__init__(self.engine, PostgresLocks(url), ReplicatedTimelines(self.engine, metrics))


def _failed(entry: NewEntry) -> StaleRead:
    """Return the error of an entry that is not stored, after noting it in the lane of its sender."""
    if entry.place is not None:
        entry.place.fail()
    return StaleRead("another node changed an account or group that this entry depends on; decide again")


async def _result(work: Callable[[], Awaitable[T]]) -> T | Exception:
    try:
        return await work()
    except Exception as exc:  # noqa: BLE001  returned to the caller of `submit`
        return exc

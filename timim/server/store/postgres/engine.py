"""The store on PostgreSQL, for any number of nodes. A node's appends that wait go out together: one statement, one commit.

What was submitted is carried out in its order, by one connection; a timeline's row lock puts the nodes into an order. When
the connection is lost while an outcome is unknown, only what tells by itself that it is stored already is tried again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg
from prometheus_client import CollectorRegistry

from ....errors import InvalidArgument, StorageError, TimimError
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

BATCH_LIMIT = 512  # appends in one statement: bounds how long the first of them waits, and its locks
QUEUE_LIMIT = 20_000  # writes that wait; past it the database is not keeping up and callers are told
APPEND_RETRIES = 2  # times that for appends: one in doubt must not be called failed; clients stop waiting and ask again
REPLICA_ANSWER_S = 1.0  # a page takes milliseconds; who waits for it would rather have it from the first
REPLICA_PAUSE_S = 5.0  # one that is away is asked so often, and no reader waits for it in between


@dataclass(slots=True)
class _QueuedWrite:
    """An append, or an operation."""

    future: asyncio.Future[Any]
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
        self._metrics.waiting.set_function(lambda: len(self._jobs))
        self._metrics.open.set_function(lambda: self._pool.get_size() if self._pool else 0)
        self._metrics.in_use.set_function(lambda: self._pool.get_size() - self._pool.get_idle_size() if self._pool else 0)
        self._url = url
        self._replica_url = replica_url
        self._connections = connections
        self._retry_s = retry_s
        self._pool: Pool | None = None
        self._replica: Pool | None = None
        self._replica_paused_until = 0.0  # until then it is not asked
        self._jobs: deque[_QueuedWrite] = deque()
        self._wake = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._under_way: set[asyncio.Task[Any]] = set()
        self._closing = False
        self._multi_statement: set[object] = set()  # reads of more than one statement

    async def open(self) -> None:
        """Connect, migrate, start the writer. Raises StorageError."""
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
        self._writer = asyncio.create_task(self._write_all(), name="timim postgres writer")

    async def close(self) -> None:
        """Carry out what waits, if the database answers, and leave it. Afterwards every call raises StorageError."""
        self._closing = True
        self._wake.set()
        writer, self._writer = self._writer, None
        if writer is not None:
            await asyncio.gather(writer, *self._under_way, return_exceptions=True)
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
        result: Appended = await self._queue(_QueuedWrite(self._future(), entry=entry))
        return result

    def submit(self, op: StartOperation[T]) -> Awaitable[T]:
        return self._queue(_QueuedWrite(self._future(), op=op))

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

    def _future(self) -> asyncio.Future[Any]:
        if self._writer is None or self._closing:
            raise StorageError("the database is closed")
        if len(self._jobs) >= QUEUE_LIMIT:
            raise StorageError(f"{QUEUE_LIMIT} writes wait already: the database does not keep up")
        return asyncio.get_running_loop().create_future()

    def _queue(self, job: _QueuedWrite) -> asyncio.Future[Any]:
        self._jobs.append(job)
        self._wake.set()
        return job.future

    async def _write_all(self) -> None:
        while True:
            if not self._jobs:
                if self._closing:
                    return
                self._wake.clear()
                await self._wake.wait()
                continue
            batch = [self._jobs.popleft()]
            while batch[0].entry is not None and self._jobs and self._jobs[0].entry is not None and len(batch) < BATCH_LIMIT:
                batch.append(self._jobs.popleft())
            try:
                if batch[0].op is not None:
                    _resolve(batch[0], await self._retrying(partial(self._transact, batch[0].op, in_order=True)))
                else:
                    await self._append_all(batch)
            except Exception as exc:  # noqa: BLE001  who submitted them hears of it
                for job in batch:
                    if not job.future.done():
                        job.future.set_exception(exc)

    async def _append_all(self, batch: list[_QueuedWrite]) -> None:
        try:
            await self._retrying(partial(self._append, batch), self._retry_s * APPEND_RETRIES)
        except (StorageError, asyncio.CancelledError):
            raise
        except Exception:
            if len(batch) == 1:
                raise
            for job in batch:  # one of them is refused: it alone
                try:
                    await self._retrying(partial(self._append, [job]), self._retry_s * APPEND_RETRIES)
                except Exception as exc:  # noqa: BLE001  who submitted it hears of it
                    if not job.future.done():
                        job.future.set_exception(exc)

    async def _append(self, batch: list[_QueuedWrite]) -> None:
        live = [job for job in batch if job.future.cancelled() or not job.future.done()]
        live = [job for job in live if not (job.in_doubt and job.entry is not None and job.entry.msg_key is None)]
        if not live:
            return
        entries = [job.entry for job in live if job.entry is not None]
        async with self._open_pool().acquire(timeout=COMMAND_TIMEOUT_S) as connection:
            failpoint("before-insert")
            failpoint("before-commit")
            try:
                with self._metrics.commits.time():
                    rows = await connection.fetch(CALL, *arguments(entries))
                self._metrics.batches.observe(len(entries))
            except LOST + NOT_NOW:
                for job in live:
                    job.in_doubt = True
                    if job.entry is not None and job.entry.msg_key is None and not job.future.done():
                        job.future.set_exception(StorageError("the database was lost: it is not known whether this was stored"))
                raise
        failpoint("after-commit")
        for number, seq, time, known in rows:
            job = live[number - 1]
            assert job.entry is not None
            if known is not None and known != job.entry.fingerprint:
                if not job.future.done():
                    job.future.set_exception(timelines.conflict(job.entry))
            else:
                # one in doubt counts as new: it was stored by this call, or is told once more, which harms nobody
                _resolve(job, Appended(seq, time, duplicate=known is not None and not job.in_doubt))

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
                    raise StorageError("the database was lost: it is not known whether this was stored") from exc
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


def _resolve(job: _QueuedWrite, result: object) -> None:
    if not job.future.done():
        job.future.set_result(result)

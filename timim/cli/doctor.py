"""Checks of the services that a server depends on. Each finding is one line: good, or a remedy."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ..errors import StorageError, TimimError
from ..server.settings import Settings

SLOW_COMMIT_S = 0.02  # above this, a disk that syncs is busy or far away
SLOW_HINT_S = 0.05
CLOCK_LIMIT_S = 2.0
ANSWER_S = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check. `good` is None when the operator should look at it, although it is no fault."""

    subject: str
    good: bool | None
    text: str


async def run_checks(settings: Settings) -> list[Finding]:
    """Run the checks of all configured services, and return their findings."""
    checks: list[tuple[str, Callable[[Settings], Awaitable[list[Finding]]]]] = []
    if settings.database:
        checks.append(("database", _database))
    if settings.database_replica:
        checks.append(("replica", _replica))
    if settings.bus:
        checks.append(("bus", _bus))
    if settings.blobs or settings.s3_bucket:
        checks.append(("blobs", _blobs))
    findings: list[Finding] = []
    if not settings.database:
        findings.append(Finding("database", True, f"SQLite in {settings.data_dir}: one server"))
    elif not settings.bus:
        findings.append(Finding("bus", None, "none: a second server on this database would find its messages late"))
    if settings.database and not (settings.blobs or settings.s3_bucket):
        findings.append(Finding("blobs", None, "content is in the data folder: all gateways must have the same one"))
    for what, check in checks:
        try:
            async with asyncio.timeout(ANSWER_S * 4):
                findings += await check(settings)
        except TimeoutError:
            findings.append(Finding(what, False, f"does not answer within {ANSWER_S * 4:.0f} s"))
    if settings.database and not settings.public_url:
        findings.append(
            Finding(
                "public_url",
                None,
                "not set: clients fetch content from the gateway that they are connected to, by its own address",
            )
        )
    return findings


async def _database(settings: Settings) -> list[Finding]:
    import asyncpg

    from ..server.store import schema

    try:
        connection = await asyncpg.connect(settings.database, timeout=ANSWER_S, command_timeout=ANSWER_S)
    except (asyncpg.PostgresError, OSError, TimeoutError, ValueError) as exc:
        return [Finding("database", False, f"cannot connect: {str(exc) or type(exc).__name__}")]
    try:
        found = [Finding("database", True, (await connection.fetchval("SELECT version()")).split(" on ")[0])]
        for name, wanted, why in (
            ("fsync", "on", "a power cut may damage the whole database"),
            ("full_page_writes", "on", "a power cut may damage the whole database"),
        ):
            value = await connection.fetchval("SELECT current_setting($1)", name)
            found.append(Finding(name, value == wanted, value if value == wanted else f"{value}: {why}"))
        if await connection.fetchval("SELECT pg_is_in_recovery()"):
            return [*found, Finding("writes", False, "this is a read replica: name the first server")]
        room = await connection.fetchval("SELECT current_setting('max_connections')::int")
        used = await connection.fetchval("SELECT count(*) FROM pg_stat_activity")
        enough = room - used >= settings.database_connections
        found.append(
            Finding(
                "connections", enough, f"{used} of {room} are taken, each gateway takes up to {settings.database_connections}"
            )
        )
        encoding = await connection.fetchval("SHOW server_encoding")
        found.append(Finding("encoding", encoding == "UTF8", encoding))
        version = None
        if await connection.fetchval("SELECT to_regclass('timim_schema') IS NOT NULL"):
            version = await connection.fetchval("SELECT max(version) FROM timim_schema")
        says = "none yet: the first server makes it" if version is None else f"{version}, this timim has {schema.VERSION}"
        found.append(Finding("schema", version is None or version <= schema.VERSION, says))
        offset_s = float(await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())")) - time.time()
        found.append(Finding("clock", abs(offset_s) < CLOCK_LIMIT_S, f"{offset_s:+.2f} s between the database and here"))
        found.append(await _commit(connection))
        return found
    except asyncpg.PostgresError as exc:
        return [Finding("database", False, str(exc))]
    finally:
        await connection.close()


async def _commit(connection: object) -> Finding:
    """Measure the best time of several writing commits; no message can be acknowledged faster."""
    import asyncpg

    assert isinstance(connection, asyncpg.Connection)
    best = 1e9
    for _ in range(5):
        began = time.perf_counter()
        # a message in the log and nothing else: its commit waits for the disk
        await connection.execute("SELECT pg_logical_emit_message(true, 'timim', 'doctor')")
        best = min(best, time.perf_counter() - began)
    return Finding("commit", None if best > SLOW_COMMIT_S else True, f"{best * 1000:.1f} ms, synced")


async def _replica(settings: Settings) -> list[Finding]:
    import asyncpg

    try:
        connection = await asyncpg.connect(settings.database_replica, timeout=ANSWER_S, command_timeout=ANSWER_S)
    except (asyncpg.PostgresError, OSError, TimeoutError, ValueError) as exc:
        return [Finding("replica", False, f"cannot connect: {str(exc) or type(exc).__name__}")]
    try:
        follows = await connection.fetchval("SELECT pg_is_in_recovery()")
        lag = await connection.fetchval("SELECT extract(epoch FROM now() - pg_last_xact_replay_timestamp())")
        return [
            Finding("replica", bool(follows), f"last replayed {float(lag or 0):.1f} s ago" if follows else "follows nobody")
        ]
    finally:
        await connection.close()


async def _bus(settings: Settings) -> list[Finding]:
    import nats
    import nats.errors

    servers = [server.strip() for server in settings.bus.split(",")]
    found: list[Finding] = []
    for server in servers:
        shown = server.rpartition("@")[2]
        try:
            async with asyncio.timeout(ANSWER_S):
                connection = await nats.connect(
                    server, connect_timeout=2, allow_reconnect=False, max_reconnect_attempts=1, error_cb=_nothing
                )
        except (nats.errors.Error, OSError, TimeoutError) as exc:
            found.append(Finding("bus", False, f"{shown}: cannot connect: {str(exc) or type(exc).__name__}"))
            continue
        best = 1e9
        for _ in range(3):
            began = time.perf_counter()
            await connection.flush(timeout=int(ANSWER_S))
            best = min(best, time.perf_counter() - began)
        await connection.close()
        found.append(Finding("bus", None if best > SLOW_HINT_S else True, f"{shown}: {best * 1000:.1f} ms there and back"))
    return found


async def _blobs(settings: Settings) -> list[Finding]:
    """Write, read and remove a small object."""
    from ..server.content.blob_store import BlobStore

    name, data = f"doctor-{secrets.token_hex(8)}", secrets.token_bytes(1024)
    began = time.perf_counter()
    try:
        blobs = await asyncio.to_thread(BlobStore.from_settings, settings)
        await blobs.put(name, 0, data)
        await blobs.sync(name, 0)
        read = b"".join([chunk async for chunk in blobs.read(name, [len(data)])])
        await blobs.delete(name)
        left = await blobs.parts(name)
    except (TimimError, OSError, ValueError) as exc:
        return [Finding("blobs", False, str(exc))]
    if read != data:
        return [Finding("blobs", False, "what was written was read as something else")]
    if left:
        return [Finding("blobs", False, "what was written cannot be removed")]
    return [Finding("blobs", True, f"written, read and removed in {(time.perf_counter() - began) * 1000:.0f} ms")]


async def _nothing(_: Exception) -> None:
    """Ignore an error that is also raised."""


def require_healthy(findings: list[Finding]) -> None:
    """Check that no finding is bad.

    Raises:
        StorageError: At least one is bad; the error names them.
    """
    if bad := [finding.subject for finding in findings if finding.good is False]:
        raise StorageError(f"not fit to serve: {', '.join(bad)}")

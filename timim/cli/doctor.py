"""Checks of the services that a server depends on, and of its machine. Each finding is one line, with a remedy if needed."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable

from timim import StorageError, TimimError

from ..server.settings import Settings
from .machine_checks import ANSWER_S, CLOCK_LIMIT_S, SLOW_COMMIT_S, Finding, check_machine

SLOW_HINT_S = 0.05


async def run_checks(settings: Settings, url: str = "") -> list[Finding]:
    """Run the checks of this machine and of all configured services, and return their findings.

    Args:
        settings: The settings of the server.
        url: URL of a running server, with whose clock this machine's is compared.
    """
    return [*await asyncio.to_thread(check_machine, settings, url), *await _check_services(settings)]


async def _check_services(settings: Settings) -> list[Finding]:
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
        findings.append(Finding("database", True, f"SQLite in {settings.data_dir}, for a single server"))
    elif not settings.bus:
        findings.append(Finding("bus", None, "not set: set TIMIM_BUS before a second server uses this database"))
    if settings.database and not (settings.blobs or settings.s3_bucket):
        text = "content is in the data folder: share this folder between all gateways, or set TIMIM_BLOBS"
        findings.append(Finding("blobs", None, text))
    for subject, check in checks:
        try:
            async with asyncio.timeout(ANSWER_S * 4):
                findings += await check(settings)
        except TimeoutError:
            findings.append(Finding(subject, False, f"no response within {ANSWER_S * 4:.0f} s: check its address and load"))
    if settings.database and not settings.public_url:
        findings.append(
            Finding(
                "public_url",
                None,
                "not set: clients download content from the own address of their gateway; set TIMIM_PUBLIC_URL behind a proxy",
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
            ("fsync", "on", "a power failure can corrupt the database; set it to on"),
            ("full_page_writes", "on", "a power failure can corrupt the database; set it to on"),
        ):
            value = await connection.fetchval("SELECT current_setting($1)", name)
            found.append(Finding(name, value == wanted, value if value == wanted else f"{value}: {why}"))
        if await connection.fetchval("SELECT pg_is_in_recovery()"):
            return [*found, Finding("writes", False, "this is a read replica: set TIMIM_DATABASE to the primary")]
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
        text = "none yet: the first server creates it" if version is None else f"{version}, this timim has {schema.VERSION}"
        found.append(Finding("schema", version is None or version <= schema.VERSION, text))
        offset_s = float(await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())")) - time.time()
        found.append(
            Finding("clock", abs(offset_s) < CLOCK_LIMIT_S, f"{offset_s:+.2f} s between the database and this machine")
        )
        found.append(await _commit(connection))
        return found
    except asyncpg.PostgresError as exc:
        return [Finding("database", False, str(exc))]
    finally:
        await connection.close()


async def _commit(connection: object) -> Finding:
    """Measure the best time of several commits that write. No message can be acknowledged faster."""
    import asyncpg

    assert isinstance(connection, asyncpg.Connection)
    best = 1e9
    for _ in range(5):
        began = time.perf_counter()
        # writes only to the write-ahead log, so that the commit waits for the disk and changes no table
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
            Finding("replica", bool(follows), f"last replayed {float(lag or 0):.1f} s ago" if follows else "is not a replica")
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
        found.append(Finding("bus", None if best > SLOW_HINT_S else True, f"{shown}: {best * 1000:.1f} ms round trip"))
    return found


async def _blobs(settings: Settings) -> list[Finding]:
    """Write, read and delete a small object."""
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
        return [Finding("blobs", False, "the object that was read differs from the one written")]
    if left:
        return [Finding("blobs", False, "objects cannot be deleted: check the permissions of the bucket or folder")]
    return [Finding("blobs", True, f"written, read and deleted in {(time.perf_counter() - began) * 1000:.0f} ms")]


async def _nothing(_: Exception) -> None:
    """Do nothing with a reported error, because the same error is also raised."""


def require_healthy(findings: list[Finding]) -> None:
    """Check that no finding is bad.

    Raises:
        StorageError: At least one finding is bad; the error names the subjects.
    """
    if bad := [finding.subject for finding in findings if finding.good is False]:
        raise StorageError(f"a server cannot run with these settings; see the findings for {', '.join(bad)}")

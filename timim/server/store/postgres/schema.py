"""Migrating the schema of a PostgreSQL database while other nodes start or serve."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from ....errors import StorageError
from .. import schema
from .append import FUNCTION
from .pool import AGAIN, RETRY_LIMIT_S, RETRY_S

if TYPE_CHECKING:
    from .runner import Connection

log = logging.getLogger("timim.server")
MIGRATION_LOCK = 0x71_6D_69_6D  # an arbitrary number, the same on all nodes


async def migrate(connection: Connection) -> None:
    """Migrate the schema to the current version.

    Other nodes may be serving and lock tables in another order. After a deadlock, the migration is retried.

    Raises:
        StorageError: The database was migrated by a newer timim.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + RETRY_S
    while True:
        try:
            await _migrate(connection)
            return
        except AGAIN as exc:
            if loop.time() > end:
                raise
            log.debug("retrying the migration of the schema: %s", exc)
            await asyncio.sleep(RETRY_LIMIT_S)


async def _migrate(connection: Connection) -> None:
    """Migrate in one transaction. An advisory lock serializes nodes that start at the same time."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", MIGRATION_LOCK)
        await connection.execute("CREATE TABLE IF NOT EXISTS timim_schema(version BIGINT NOT NULL)")
        version = await connection.fetchval("SELECT coalesce(max(version), 0) FROM timim_schema")
        if version > schema.VERSION:
            raise StorageError(schema.too_new(version))
        for number, step in enumerate(schema.STEPS[version:], version + 1):
            await connection.execute(schema.for_postgres(step))
            await connection.execute("DELETE FROM timim_schema")
            await connection.execute("INSERT INTO timim_schema VALUES($1)", number)
        if not await connection.fetchval("SELECT to_regproc($1) IS NOT NULL", FUNCTION.name):
            await connection.execute(FUNCTION.text)

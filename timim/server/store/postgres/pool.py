"""Connections to PostgreSQL, and what is wrong when one does not do: whether it is lost, and what to try again, how long.

An ack promises that the commit is on disk: a connection that would not wait for that is told to.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

import asyncpg

if TYPE_CHECKING:
    from .runner import Connection

    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]

COMMAND_TIMEOUT_S = 10.0  # a statement that takes longer is stuck
LOCK_TIMEOUT_S = 5.0  # a node that died holds its locks until its connection ends
RETRY_S = 30.0  # a restart of PostgreSQL takes a few seconds, on a busy machine more
RETRY_FIRST_S, RETRY_LIMIT_S = 0.05, 0.25  # a database that is up for a moment only should be met

LOST = (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError, TimeoutError)
NOT_NOW = (
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
)
AGAIN = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.LockNotAvailableError)  # undone whole


class _PooledConnection(asyncpg.Connection):
    """Nothing here changes a connection's settings, so a round trip that sets them back is spared."""

    def get_reset_query(self) -> str:
        return ""


async def create_pool(url: str, connections: int, *, least: int = 1) -> Pool:
    """Open a pool, with at least so many connections at once."""
    return await asyncpg.create_pool(
        url,
        min_size=least,
        max_size=connections,
        command_timeout=COMMAND_TIMEOUT_S,
        timeout=COMMAND_TIMEOUT_S,
        connection_class=_PooledConnection,
        server_settings={
            "application_name": "timim",
            "lock_timeout": f"{int(LOCK_TIMEOUT_S * 1000)}",
            "idle_in_transaction_session_timeout": f"{int(COMMAND_TIMEOUT_S * 1000)}",
        },
        init=_require_sync,
    )


async def _require_sync(connection: Connection) -> None:
    """Require commits on disk, as an ack promises; a stricter setting stays."""
    if await connection.fetchval("SHOW synchronous_commit") == "off":
        await connection.execute("SET synchronous_commit = on")


def error_text(exc: BaseException) -> str:
    return str(exc) or type(exc).__name__


def redact_password(url: str) -> str:
    """Without the password."""
    return re.sub(r"://([^:@/]*):[^@]*@", r"://\1:…@", url)

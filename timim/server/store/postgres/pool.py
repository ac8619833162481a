"""Connection pools for PostgreSQL, and the errors that mean a lost connection or a retry, with the time limits.

An ack promises that the commit is on disk, so every connection waits for synchronous commits.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

import asyncpg

if TYPE_CHECKING:
    from .runner import Connection

    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]

COMMAND_TIMEOUT_S = 10.0  # a statement that takes longer is stuck
LOCK_TIMEOUT_S = 5.0  # a node that died keeps its row locks until its connection ends
RETRY_S = 30.0  # a restart of PostgreSQL takes a few seconds, on a busy machine more
RETRY_FIRST_S, RETRY_LIMIT_S = 0.05, 0.25  # short, so that a database that is available only briefly is still used

LOST = (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError, TimeoutError)
NOT_NOW = (
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
)
AGAIN = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.LockNotAvailableError)  # rolled back completely


class _PooledConnection(asyncpg.Connection):
    """A connection without a reset query: timim changes no settings after `init`, so a round trip is saved."""

    def get_reset_query(self) -> str:
        return ""


async def create_pool(url: str, connections: int, *, least: int = 1) -> Pool:
    """Open a pool of at most `connections` connections; `least` of these are opened immediately."""
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
    """Switch on synchronous commits, because an acked message must be on disk. A stricter setting is kept."""
    if await connection.fetchval("SHOW synchronous_commit") == "off":
        await connection.execute("SET synchronous_commit = on")


def error_text(exc: BaseException) -> str:
    """Return the text of an error, the name of its class if the text is empty."""
    return str(exc) or type(exc).__name__


def redact_password(url: str) -> str:
    """Return `url` with its password masked."""
    return re.sub(r"://([^:@/]*):[^@]*@", r"://\1:…@", url)

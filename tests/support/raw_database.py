"""Direct access to a server's database: its SQLite file, or with --backend=cluster its PostgreSQL."""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg

from timim.server.store.base import Store
from timim.server.store.postgres.engine import PostgresStore
from timim.server.store.sqlite import SqliteStore
from timim.testing.server import BACKEND


def _url(folder: Path) -> str | None:
    """Return the URL of the database of the servers in this folder, None if it is a file in the folder."""
    return None if BACKEND.settings_of is None else str(BACKEND.settings_of(folder)["database"])


def store_of(folder: Path) -> Store:
    """Return a store on the database of a stopped server."""
    url = _url(folder)
    return SqliteStore(folder / "timim.db") if url is None else PostgresStore(url)


async def in_database(folder: Path, *statements: str) -> list[tuple[Any, ...]]:
    """Execute these statements in one transaction, and return the rows of the last one."""
    url = await asyncio.to_thread(_url, folder)
    if url is None:
        return await asyncio.to_thread(_in_file, folder / "timim.db", statements)
    rows: list[Any] = []
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            for statement in statements:
                rows = await connection.fetch(statement)
    finally:
        await connection.close()
    return [tuple(row) for row in rows]


def query_database(folder: Path, question: str) -> list[tuple[Any, ...]]:
    """Execute statements as `in_database`, for callers that cannot await."""
    with ThreadPoolExecutor(1) as elsewhere:  # this thread may have a running loop
        return elsewhere.submit(asyncio.run, in_database(folder, question)).result()


def _in_file(path: Path, statements: tuple[str, ...]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    with closing(sqlite3.connect(path, timeout=10)) as connection, connection:
        for statement in statements:
            rows = connection.execute(statement).fetchall()
    return rows

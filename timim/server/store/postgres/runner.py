"""Executing the statements of an operation on one connection to PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from ..operation import ExecuteMany, StartOperation

if TYPE_CHECKING:
    import asyncpg
    from asyncpg.pool import PoolConnectionProxy

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]

T = TypeVar("T")


class MoreStatements(Exception):
    """The operation has more than one statement, which the caller did not allow."""


async def run(connection: Connection, op: StartOperation[T], *, one_statement: bool = False) -> T:
    """Execute an operation. If `one_statement`, raise MoreStatements instead of executing a second statement."""
    steps = op()
    try:
        step, more = next(steps), False
        while True:
            if more and one_statement:
                raise MoreStatements
            more = True
            if type(step) is ExecuteMany:
                if step.rows:
                    await connection.executemany(_numbered(step.sql), step.rows)
                step = steps.send(())
            else:
                rows: Sequence[Any] = await connection.fetch(_numbered(step[0]), *step[1])
                step = steps.send(rows)
    except StopIteration as end:
        result: T = end.value
        return result


@lru_cache(maxsize=1000)
def _numbered(sql: str) -> str:
    """Return the statement with its `?` parameters numbered as `$1`, `$2`, …."""
    count = 0

    def number(_: re.Match[str]) -> str:
        nonlocal count
        count += 1
        return f"${count}"

    return re.sub(r"\?", number, sql)

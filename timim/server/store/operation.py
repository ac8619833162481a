"""A store operation without I/O: a generator that yields statements and is sent their rows. One copy serves every engine.

Statements have `?` for their parameters, keep to SQL that SQLite and PostgreSQL both accept, and may be carried out more
than once before they are committed once: an operation changes nothing but the database.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

from .entries import Appended, NewEntry

T = TypeVar("T")

Row: TypeAlias = Sequence[Any]
Rows: TypeAlias = Sequence[Row]


class Execute(NamedTuple):
    """One statement; its rows come back, none when it has none."""

    sql: str
    params: Sequence[Any] = ()


class ExecuteMany(NamedTuple):
    """One statement for each of `rows`. SQLite sends back how many rows changed, as one row; PostgreSQL sends nothing."""

    sql: str
    rows: Sequence[Sequence[Any]]


Operation: TypeAlias = Generator[Execute | ExecuteMany, Rows, T]
StartOperation: TypeAlias = Callable[[], Operation[T]]  # begins the operation, from its start, each time it is called


def first_row(sql: str, *params: Any) -> Operation[Row | None]:
    """Return the first row of a statement, or None."""
    rows = yield Execute(sql, params)
    return rows[0] if rows else None


class SqlEngine(Protocol):
    """Carries operations out, each in one transaction. Each method may raise StorageError."""

    async def open(self) -> None:
        """Open, and bring the schema up to date."""
        ...

    async def close(self) -> None: ...

    async def append(self, entry: NewEntry) -> Appended:
        """Append an entry, in the order of the calls of `append` and `submit`; many may share one statement."""
        ...

    def submit(self, op: StartOperation[T]) -> Awaitable[T]:
        """Queue a write now, behind all that were submitted before it; the result comes after its commit."""
        ...

    async def write(self, op: StartOperation[T]) -> T:
        """Carry out a write that need not stand in any order with others. Cancelling stops the waiting, not the write."""
        ...

    async def read(self, op: StartOperation[T]) -> T:
        """Carry out a read, on one snapshot of what is committed."""
        ...

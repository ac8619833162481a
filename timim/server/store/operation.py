"""A store operation without I/O: a generator that yields statements and receives their rows. All engines share it.

Statements use `?` for their parameters, and only SQL that both SQLite and PostgreSQL accept. An operation may be executed
several times before one execution is committed, so it must change nothing but the database.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

from .entries import Appended, NewEntry

T = TypeVar("T")

Row: TypeAlias = Sequence[Any]
Rows: TypeAlias = Sequence[Row]


class Execute(NamedTuple):
    """One statement. The engine sends its rows back, an empty sequence if there are none."""

    sql: str
    params: Sequence[Any] = ()


class ExecuteMany(NamedTuple):
    """A statement to execute for each of `rows`. SQLite returns the number of changed rows, in one row; PostgreSQL no row."""

    sql: str
    rows: Sequence[Sequence[Any]]


Operation: TypeAlias = Generator[Execute | ExecuteMany, Rows, T]
StartOperation: TypeAlias = Callable[[], Operation[T]]  # each call begins the operation from its start


def first_row(sql: str, *params: Any) -> Operation[Row | None]:
    """Return the first row of a statement, or None."""
    rows = yield Execute(sql, params)
    return rows[0] if rows else None


class SqlEngine(Protocol):
    """A database that executes operations, each in one transaction. Each method may raise StorageError."""

    async def open(self) -> None:
        """Open the database and migrate its schema."""
        ...

    async def close(self) -> None: ...

    def append(self, entry: NewEntry) -> Awaitable[Appended]:
        """Append an entry, in the order of the calls of `append` and `submit`. Many appends may share one statement."""
        ...

    def submit(self, op: StartOperation[T]) -> Awaitable[T]:
        """Queue a write behind those that were submitted before it. The awaitable returns after the commit."""
        ...

    async def write(self, op: StartOperation[T]) -> T:
        """Execute a write whose order with other writes does not matter. Cancelling does not stop the write."""
        ...

    async def read(self, op: StartOperation[T]) -> T:
        """Execute a read on one snapshot of the committed data."""
        ...

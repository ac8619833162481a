"""Tasks of an aiosqlite thread: a transaction of many writes, and a read on one snapshot; errors are converted here."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from ..errors import StorageError, StoreCorrupted, TimimError
from ..util.failpoints import failpoint

__all__ = ["BatchOperation", "CallTask", "ErrorTranslator", "Operation", "Write", "WriteTask", "on_snapshot"]

T = TypeVar("T")
I = TypeVar("I")  # noqa: E741  an item
R = TypeVar("R")
Operation = Callable[[sqlite3.Connection], T]
BatchOperation = Callable[[sqlite3.Connection, Sequence[I]], Sequence[R | Exception]]  # a result for each item

_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


# errors of values that an intact file does not have: text that is no UTF-8, JSON cut short, a number without a meaning
_UNREADABLE = (UnicodeDecodeError, msgspec.MsgspecError, json.JSONDecodeError)
_MEANINGLESS = (LookupError, TypeError, ValueError)


class ErrorTranslator:
    """Converts errors of SQLite and of the disk to StorageError; other errors are left unchanged.

    `suspect` is a marker file, created when the database turns out to be corrupt. With it, values that cannot be decoded are
    taken for corruption.
    """

    def __init__(self, suspect: Path | None) -> None:
        self._suspect = suspect

    def translate(self, exc: Exception, failure: str, *, reading: bool = False) -> Exception:
        """Return the error to raise. This method blocks, so call it in aiosqlite's thread.

        Args:
            exc: The error.
            failure: The begin of the text.
            reading: The error comes from a read, whose values are all of the file.
        """
        if isinstance(exc, StoreCorrupted):
            self._mark()
            return exc
        if isinstance(exc, TimimError):
            return exc
        unreadable = _UNREADABLE + _MEANINGLESS * reading if self._suspect is not None else ()
        if not isinstance(exc, (sqlite3.Error, OSError, *unreadable)):
            return exc
        error = StorageError(f"{failure}: {exc}")
        if isinstance(exc, unreadable) or getattr(exc, "sqlite_errorcode", None) in _CORRUPT or _names_corruption(exc):
            error = StoreCorrupted(f"{failure}: {exc}")
            self._mark()
        error.__cause__ = exc
        return error

    def _mark(self) -> None:
        if self._suspect is not None:
            self._suspect.touch()


def _names_corruption(exc: Exception) -> bool:
    """Return True for errors of texts that are no UTF-8, to which sqlite3 gives no code."""
    return isinstance(exc, sqlite3.OperationalError) and "Could not decode to UTF-8" in str(exc)


class Write(NamedTuple):
    """One item of a batch operation. Consecutive items of one operation are executed by one call.

    If `synced` is False, a power cut may undo the write, until a later synced write or `Database.sync`.
    """

    operation: BatchOperation[Any, Any]
    item: Any
    synced: bool = True


class WriteTask:
    """Writes in one transaction, which is committed before `execute` returns.

    If a write raises, the transaction is rolled back and all writes are executed again, each with a savepoint, so a write
    must have no effect except on the file. A failed commit fails all writes.
    """

    def __init__(self, writes: Sequence[Write], errors: ErrorTranslator, *, pragma: str = "") -> None:
        """Create a task; `pragma` is executed before the transaction."""
        self._writes = writes
        self._errors = errors
        self._pragma = pragma
        self.results: list[Any] = []
        self.changed: bool = False  # all writes were committed and rows have changed: SQLite syncs no other commit

    def execute(self, connection: sqlite3.Connection) -> None:
        """Execute the writes and commit them."""
        before = connection.total_changes
        calls = [
            (operation, [write.item for write in same])
            for operation, same in groupby(self._writes, lambda write: write.operation)
        ]
        try:
            if self._pragma:
                connection.execute(self._pragma)
            connection.execute("BEGIN IMMEDIATE")
            try:
                self.results = [result for operation, items in calls for result in operation(connection, items)]
            except Exception as exc:  # noqa: BLE001  passed to the caller that waits
                if connection.in_transaction:  # SQLite itself rolls back when the disk is full
                    connection.execute("ROLLBACK")
                if len(calls) == 1:
                    self.results = [self._error(exc)] * len(self._writes)
                    return
                connection.execute("BEGIN IMMEDIATE")
                self.results = [result for call in calls for result in self._execute_alone(connection, *call)]
            failpoint("before-commit")
            connection.execute("COMMIT")
            failed = any(isinstance(result, Exception) for result in self.results)
            self.changed = connection.total_changes > before and not failed
            failpoint("after-commit")
        except sqlite3.Error as exc:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            self.results = [self._errors.translate(exc, "the transaction failed")] * len(self._writes)

    def _execute_alone(
        self, connection: sqlite3.Connection, operation: BatchOperation[Any, Any], items: Sequence[Any]
    ) -> Sequence[Any]:
        """Execute one call in a savepoint, so that its failure does not affect other calls."""
        connection.execute("SAVEPOINT one")
        try:
            return operation(connection, items)
        except Exception as exc:  # noqa: BLE001  passed to the caller that waits
            connection.execute("ROLLBACK TO one")
            return [self._error(exc)] * len(items)
        finally:
            connection.execute("RELEASE one")

    def _error(self, exc: Exception) -> Exception:
        return self._errors.translate(exc, "a write failed")


class CallTask(Generic[T]):
    """One call of an operation."""

    def __init__(self, operation: Operation[T], errors: ErrorTranslator, *, failure: str) -> None:
        """Create a task; `failure` is the beginning of its error messages."""
        self._operation = operation
        self._errors = errors
        self._failure = failure
        self._results: list[T] = []
        self._error: Exception | None = None

    def execute(self, connection: sqlite3.Connection) -> None:
        """Call the operation."""
        try:
            self._results.append(self._operation(connection))
        except Exception as exc:  # noqa: BLE001  passed to the caller that waits
            self._error = self._errors.translate(exc, self._failure, reading=True)

    def result(self) -> T:
        """Return the result of the operation, or raise its error."""
        if self._error is not None:
            raise self._error
        return self._results[0]


def on_snapshot(operation: Operation[T], connection: sqlite3.Connection) -> T:
    """Execute a read so that all its statements see the same commits."""
    connection.execute("BEGIN")
    try:
        return operation(connection)
    finally:
        connection.execute("COMMIT")

"""A disk that loses unsynced writes. Files live in memory; a power cut keeps synced data and an arbitrary part of the rest.

Kill -9 cannot show if a commit was synced, because the kernel still has the pages. A power cut does: of the writes since a
file's last sync an arbitrary part survives, in any order, the last one perhaps torn at a sector.
"""

from __future__ import annotations

import itertools
import random
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from typing import Any, cast

import apsw

from timim.sqlite.connection import ThreadTask

SECTOR_BYTES = 512
_names = itertools.count()


class Disk(apsw.VFS):
    """A disk whose power fails after `cut_after` writes and syncs; every later operation fails."""

    def __init__(self, rng: random.Random, image: dict[str, bytes] | None = None, *, cut_after: int = 1 << 60) -> None:
        self.name = f"power-{next(_names)}"
        self.files: dict[str, _File] = {name: _File(self, data) for name, data in (image or {}).items()}
        self.left = cut_after
        self.syncs = 0
        self._rng = rng
        super().__init__(self.name, "")

    def image(self) -> dict[str, bytes]:
        """Return the contents of the disk when the power is restored."""
        return {name: file.after_the_cut(self._rng) for name, file in self.files.items()}

    def spend(self) -> None:
        """Count one write or sync."""
        self.left -= 1
        if self.left < 0:
            raise apsw.IOError("the power is gone")

    def xOpen(self, name: Any, flags: list[int]) -> Any:  # noqa: N802
        path = (name.filename() if isinstance(name, apsw.URIFilename) else name) or f"temporary-{next(_names)}"
        flags[1] = flags[0]
        return self.files.setdefault(path, _File(self, b""))

    def xDelete(self, name: str, sync: bool) -> None:  # noqa: N802
        self.spend()
        self.files.pop(name, None)

    def xAccess(self, name: str, flags: int) -> bool:  # noqa: N802
        return name in self.files

    def xFullPathname(self, name: str) -> str:  # noqa: N802
        return name


class _File:
    """A file: its bytes as programs see them, its bytes on disk, and the unsynced writes."""

    def __init__(self, disk: Disk, data: bytes) -> None:
        self._disk = disk
        self._seen = bytearray(data)
        self._synced = bytearray(data)
        self._since: list[tuple[int, bytes]] = []  # a truncation is (size, b"")

    def after_the_cut(self, rng: random.Random) -> bytes:
        data = bytearray(self._synced)
        arrived = [change for change in self._since if rng.random() < rng.choice((0.1, 0.5, 0.9))]
        rng.shuffle(arrived)
        for i, (at, written) in enumerate(arrived):
            if i == len(arrived) - 1 and len(written) > SECTOR_BYTES:
                written = written[: rng.randrange(1, len(written) // SECTOR_BYTES + 1) * SECTOR_BYTES]
            _put(data, at, written)
        return bytes(data)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        return bytes(self._seen[offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._disk.spend()
        _put(self._seen, offset, data)
        self._since.append((offset, bytes(data)))

    def xTruncate(self, size: int) -> None:  # noqa: N802
        self._disk.spend()
        del self._seen[size:]
        self._since.append((size, b""))

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._disk.spend()
        self._disk.syncs += 1
        self._synced = bytearray(self._seen)
        self._since.clear()

    def xFileSize(self) -> int:  # noqa: N802
        return len(self._seen)

    def xSectorSize(self) -> int:  # noqa: N802
        return SECTOR_BYTES

    def xDeviceCharacteristics(self) -> int:  # noqa: N802
        return 0  # promises nothing: no safe append, no ordered or atomic writes

    def xLock(self, level: int) -> None:  # noqa: N802
        pass  # only one connection at a time uses the file

    def xUnlock(self, level: int) -> None:  # noqa: N802
        pass

    def xCheckReservedLock(self) -> bool:  # noqa: N802
        return False

    def xFileControl(self, op: int, pointer: int) -> bool:  # noqa: N802
        return False

    def xClose(self) -> None:  # noqa: N802
        pass


def _put(data: bytearray, at: int, written: bytes) -> None:
    if not written:
        del data[at:]
        return
    if len(data) < at:
        data.extend(bytes(at - len(data)))
    data[at : at + len(written)] = written


class Connection:
    """An apsw connection on a `Disk`, with the pragmas and the parts of the sqlite3 interface that the stores need."""

    def __init__(self, disk: Disk, name: str) -> None:
        self._tasks: deque[ThreadTask] = deque()
        self._apsw = apsw.Connection(name, vfs=disk.name)
        self._apsw.execute("PRAGMA locking_mode=EXCLUSIVE")  # a VFS in Python has no shared memory for the index of the WAL

    def queue(self, task: ThreadTask) -> None:
        self._tasks.append(task)

    def commit(self) -> None:
        self._tasks.popleft().execute(cast("sqlite3.Connection", self))

    @property
    def in_transaction(self) -> bool:
        return self._apsw.in_transaction

    @property
    def total_changes(self) -> int:
        return self._apsw.total_changes()

    def execute(self, sql: str, values: Sequence[Any] = ()) -> _Cursor:
        with _Translated():
            return _Cursor(self._apsw, self._apsw.execute(sql, tuple(values)))

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> _Cursor:
        with _Translated():
            before = self._apsw.total_changes()
            self._apsw.executemany(sql, [tuple(row) for row in rows])
            cursor = _Cursor(self._apsw, self._apsw.cursor())
            cursor.rowcount = self._apsw.total_changes() - before
            return cursor

    def create_function(self, name: str, arguments: int, function: Callable[..., Any], *, deterministic: bool) -> None:
        self._apsw.create_scalar_function(name, function, arguments, deterministic=deterministic)

    def executescript(self, sql: str) -> None:
        with _Translated():
            self._apsw.execute(sql)

    def close(self) -> None:
        try:
            self._apsw.close(True)
        except apsw.Error:
            pass  # the power is off, so nothing can be written; sqlite3 reports no error either


def copy_blank(build: Callable[[sqlite3.Connection], None], connection: sqlite3.Connection) -> None:
    """Copy a blank database as the product does, but with apsw's backup, because sqlite3's accepts only its own connections."""
    target = cast("Connection", connection)._apsw
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as blank, closing(apsw.Connection(":memory:")) as source:
        build(blank)
        source.deserialize("main", blank.serialize())
        with _Translated(), target.backup("main", source, "main") as backup:
            backup.step()


class _Cursor:
    def __init__(self, connection: apsw.Connection, cursor: apsw.Cursor) -> None:
        self._cursor = cursor
        self.rowcount = connection.changes()
        self.lastrowid = connection.last_insert_rowid()

    def fetchone(self) -> Any:
        with _Translated():
            return self._cursor.fetchone()

    def fetchall(self) -> Any:
        with _Translated():
            return self._cursor.fetchall()

    def __iter__(self) -> Any:
        return iter(self.fetchall())


class _Translated:
    """A context that raises apsw's errors as those of sqlite3."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        if isinstance(exc, apsw.ConstraintError):
            raise sqlite3.IntegrityError(str(exc)) from exc
        if isinstance(exc, apsw.Error):
            raise sqlite3.OperationalError(str(exc)) from exc

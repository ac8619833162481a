"""The schema of the local store.

A released migration never changes. A new file runs all migrations, an old file those that it has not run.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from ..sqlite.blank import copy_blank, is_empty
from . import fulltext

__all__ = ["VERSION", "migrate", "statements"]

VERSION = 12
MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(connection: sqlite3.Connection) -> None:
    """Migrate a new or old file to the current schema. Raises sqlite3.DatabaseError if a newer timim wrote the file."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise sqlite3.DatabaseError(f"the file was written by a newer timim (schema {version}); upgrade timim")
    fulltext.register(connection)
    if version == 0 and is_empty(connection):
        copy_blank(_build, connection)
    elif version < VERSION:
        _upgrade(connection, version)
    else:
        fulltext.follow_rules(connection)


def _build(connection: sqlite3.Connection) -> None:
    _upgrade(connection, 0)


def _upgrade(connection: sqlite3.Connection, version: int) -> None:
    steps = " ".join(statements(number) for number in range(version + 1, VERSION + 1))
    connection.executescript(f"BEGIN; {steps} PRAGMA user_version={VERSION}; COMMIT;")  # one transaction, one sync to disk
    fulltext.follow_rules(connection)


def statements(number: int) -> str:
    """Return the statements of a migration; `number` begins with 1."""
    (path,) = MIGRATIONS.glob(f"{number:04}_*.sql")
    return path.read_text(encoding="utf-8")

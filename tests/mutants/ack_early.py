"""A server whose writes are settled, and so acked, before their commit."""

from __future__ import annotations

import sqlite3
import time

import timim.sqlite.database
import timim.sqlite.lanes
from timim.cli import main

EARLY_S = 0.02  # what an ack needs to get out
commit = timim.sqlite.database.Database._commit


def commit_late(
    self: timim.sqlite.database.Database,
    connection: sqlite3.Connection | None,
    batch: list[timim.sqlite.lanes.Job],
    failed: sqlite3.Error | None,
) -> None:
    for job in batch:
        job.future.get_loop().call_soon_threadsafe(timim.sqlite.database._settle, job)
    time.sleep(EARLY_S)
    commit(self, connection, batch, failed)


timim.sqlite.database.Database._commit = commit_late  # type: ignore[method-assign]

if __name__ == "__main__":
    main()

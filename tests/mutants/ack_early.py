"""A server whose writes are settled, and so acked, before their commit."""

from __future__ import annotations

import sqlite3
import time

import timim.sqlite
from timim.cli import main
from timim.failpoint import reach

EARLY_S = 0.02  # what an ack needs to get out


def commit_late(self: timim.sqlite.Database, connection: sqlite3.Connection, batch: list[timim.sqlite._Job]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for job in batch:
        job.result = job.op(connection)
        job.future.get_loop().call_soon_threadsafe(timim.sqlite._settle, job)
    time.sleep(EARLY_S)
    reach("before-commit")
    connection.execute("COMMIT")
    reach("after-commit")


timim.sqlite.Database._commit = commit_late  # type: ignore[method-assign]

if __name__ == "__main__":
    main()

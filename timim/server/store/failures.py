"""Causes of failures of a store, as clients and operators are told them."""

from __future__ import annotations

import errno
import sqlite3

FULL_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
POSTGRES_DISK_FULL = "53100"


def is_disk_full(exc: BaseException | None) -> bool:
    """Return True if an error, or one that caused it, says that a disk has no room."""
    seen = set[int]()
    while exc is not None and id(exc) not in seen:
        seen.add(id(exc))
        code = getattr(exc, "sqlite_errorcode", 0) or 0
        if code & 0xFF == sqlite3.SQLITE_FULL or getattr(exc, "sqlstate", "") == POSTGRES_DISK_FULL:
            return True
        if isinstance(exc, OSError) and exc.errno in FULL_DISK:
            return True
        if "No space left on device" in str(exc):  # of obstore, whose errors have no errno
            return True
        exc = exc.__cause__
    return False

"""Locks that keep a second process off a folder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

__all__ = ["FileLock"]


class FileLock:
    """An exclusive lock of the operating system on a file. It ends with the process that holds it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptors: list[int] = []  # one while the lock is held

    def acquire(self) -> None:
        """Take the lock, and make the file and its folder when they are missing. Blocks for the time of a disk access.

        Raises:
            BlockingIOError: Somebody else holds the lock.
            OSError: The file cannot be made.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise
        self._descriptors.append(descriptor)

    def release(self) -> None:
        """Give the lock back, if it is held. The file stays."""
        while self._descriptors:
            os.close(self._descriptors.pop())

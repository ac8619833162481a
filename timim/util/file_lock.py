"""Locks that keep a second process out of a folder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from .private_files import private_opener, private_tree

__all__ = ["FileLock"]


class FileLock:
    """An exclusive lock of the operating system on a file, released at the latest when the process ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptors: list[int] = []  # one descriptor while the lock is held

    def acquire(self) -> None:
        """Acquire the lock without waiting, and create the file and its folder if they are missing, for their owner only.

        Raises:
            BlockingIOError: Another process, or another lock of this one, holds the lock.
            OSError: The file cannot be created.
        """
        private_tree(self._path.parent)
        descriptor = private_opener(str(self._path), os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise
        self._descriptors.append(descriptor)

    def release(self) -> None:
        """Release the lock, if it is held. The file is not removed."""
        while self._descriptors:
            descriptor = self._descriptors.pop()
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # a forked process has the descriptor too, and would keep the lock
            os.close(descriptor)

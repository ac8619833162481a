"""Folders and files that only their owner can read, whatever the umask. Wider ones of earlier versions are narrowed."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

__all__ = ["FILE_MODE", "FOLDER_MODE", "private_file", "private_folder", "private_opener", "private_tree"]

log = logging.getLogger(__name__)
FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def private_opener(path: str, flags: int) -> int:
    """Open a file as `open(opener=…)` does; a new file is for its owner only."""
    descriptor = os.open(path, flags, FILE_MODE)
    if flags & os.O_CREAT and os.fstat(descriptor).st_size == 0:
        os.fchmod(descriptor, FILE_MODE)  # the umask can take the owner's rights too
    return descriptor


def private_folder(folder: Path) -> bool:
    """Create a folder for its owner only, or narrow an existing one; return True if it was narrowed. Raises OSError.

    The folders above it are created with the rights that the umask allows.
    """
    if folder.is_dir():
        return _narrow(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
    folder.chmod(FOLDER_MODE)
    return False


def private_file(path: Path) -> None:
    """Create an empty file for its owner only, or narrow an existing one. Raises OSError."""
    if path.exists():
        _narrow(path)
    else:
        os.close(private_opener(str(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC))


def private_tree(folder: Path) -> None:
    """Narrow a folder, and if it was wider, all that is in it. Raises OSError."""
    if private_folder(folder):
        for path in _inside(folder):
            _narrow(path, named=False)


def _inside(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_symlink():
            continue
        yield path
        if path.is_dir():
            yield from _inside(path)


def _narrow(path: Path, *, named: bool = True) -> bool:
    """Take the rights of the group and of others; return True if they had any."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if not mode & _OTHERS:
        return False
    if mode & stat.S_ISVTX:
        log.warning("%s is shared with other accounts of this machine (mode %03o); choose a folder of its own", path, mode)
        return False
    try:
        path.chmod(mode & ~_OTHERS)
    except PermissionError:
        log.warning(
            "others can read %s (mode %03o), which belongs to another account of this machine; narrow it there", path, mode
        )
        return False
    if named:
        log.warning("others could read %s (mode %03o); it is for its owner only now (mode %03o)", path, mode, mode & ~_OTHERS)
    return True

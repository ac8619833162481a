"""A back-up of a server's data folder in one tar file: the database, the content, the identity, and a list of them.

The database is copied while a server uses it, as one consistent state. The content is copied afterwards, so that the copy has
the content of each message that it contains. The list comes last and has a hash of each file: a file without it is incomplete.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import re
import secrets
import shutil
import sqlite3
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import msgspec

from timim import InvalidArgument, StorageError, StoreInUse

from .. import __version__
from ..server.store.sqlite import SqliteStore
from ..util.file_lock import FileLock
from ..util.private_files import private_folder
from ..util.server_folder import KEY_FILE

if TYPE_CHECKING:
    from ..server.settings import Settings

DATABASE = "timim.db"
LIST = "backup.json"
MEDIA = "media"
LOCK = "lock"
COPY_BYTES = 1 << 20
PAGES = 4096  # of the database that are copied in one step; Ctrl-C takes effect between two steps
_CONTENT = re.compile(rf"{MEDIA}/[\w-]+/\d+")
_NAMES = {DATABASE, KEY_FILE, LIST}


class _List(msgspec.Struct):
    """The last member of a back-up."""

    timim: str
    created: int
    sha256: dict[str, str]


@dataclass(frozen=True, slots=True)
class Contents:
    """Numbers of a back-up: messages and other entries, files of content, and bytes of all."""

    entries: int
    media_files: int
    size: int


def back_up(settings: Settings, file: Path) -> Contents:
    """Copy a server's data folder into a new file, while a server may use it.

    Raises:
        InvalidArgument: The settings name a database or a bucket, or there is no data folder.
        StorageError: The data cannot be read, or the file cannot be written or exists.
    """
    folder, media = local_folders(settings)
    if not (folder / DATABASE).is_file():
        raise InvalidArgument(f"there is no database in {folder}/: set --data-dir to the server's data folder")
    if file.exists():
        raise StorageError(f"{file} exists, and a back-up overwrites no file: choose another name")
    with (
        _storage_errors(f"cannot back up {folder} to {file}"),
        tempfile.TemporaryDirectory(prefix=f".{file.name}-", dir=file.parent) as beside,
    ):
        copy, unfinished = Path(beside) / DATABASE, Path(beside) / file.name
        entries = _copy_database(folder / DATABASE, copy)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)  # it contains the key that signs users
        with os.fdopen(descriptor, "wb") as target:
            media_files = _write_archive(target, copy, folder / KEY_FILE, media)
            target.flush()
            os.fsync(target.fileno())
        unfinished.rename(file)
        _sync_folder(file.parent)
        return Contents(entries, media_files, file.stat().st_size)


def restore(settings: Settings, file: Path) -> Contents:
    """Make a server's data folder from a back-up, and give it a new epoch, so that clients compare their history.

    After an error the folder is as before. The database comes last, so that a crash leaves no folder that looks complete.

    Raises:
        InvalidArgument: The settings name a database or a bucket.
        StoreInUse: A server uses the data folder.
        StorageError: The folder is not empty, the file is no complete back-up, or it cannot be read or written.
    """
    folder, media = local_folders(settings)
    with _storage_errors(f"cannot restore {file} to {folder}"), _locked(folder):
        require_empty(folder)
        if media != folder / MEDIA:
            require_empty(media)
        with tempfile.TemporaryDirectory(prefix=".restoring-", dir=folder) as name:
            made = Path(name)
            media_files = _extract(file, made)
            entries = asyncio.run(_renew(made / DATABASE))
            if (made / MEDIA).exists() and media != folder / MEDIA:
                shutil.copytree(made / MEDIA, media, dirs_exist_ok=True)
            elif (made / MEDIA).exists():
                (made / MEDIA).rename(media)
            for part in (KEY_FILE, DATABASE):
                if (made / part).exists():
                    (made / part).rename(folder / part)
        _sync_folder(folder)
    return Contents(entries, media_files, file.stat().st_size)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Create a data folder if it is missing, and keep servers out of it. After an error, remove again what was created.

    Raises:
        StoreInUse: A server uses the folder.
    """
    created, locked_before = not folder.exists(), (folder / LOCK).exists()
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire()
    except BlockingIOError:
        raise StoreInUse(f"a server uses {folder}: stop it, and restore into another folder or move this one") from None
    try:
        yield
    except BaseException:
        if created:
            shutil.rmtree(folder, ignore_errors=True)
        elif not locked_before:
            (folder / LOCK).unlink()
        raise
    finally:
        lock.release()


def local_folders(settings: Settings) -> tuple[Path, Path]:
    """Return the data folder of a server, and its folder of content.

    Raises:
        InvalidArgument: The settings name a database or a bucket, or no data folder.
    """
    if settings.database:
        raise InvalidArgument(
            "the data is in PostgreSQL: back it up with pg_dump, and the bucket or folder of the content with its own tools; "
            "see docs/how-to/back_up_and_restore.md"
        )
    content = settings.content
    if content.bucket:
        raise InvalidArgument(
            f"the content is in the bucket {content.bucket}: back it up with the bucket's own tools, after the database "
            f"(sqlite3 {settings.data_dir}/{DATABASE} '.backup FILE'); see docs/how-to/back_up_and_restore.md"
        )
    if settings.data_dir is None or content.folder is None:
        raise InvalidArgument("a server without a data folder keeps nothing: set --data-dir")
    return settings.data_dir, content.folder


def require_empty(folder: Path) -> None:
    """Check that a folder is missing or empty, apart from its lock.

    Raises:
        StorageError: The folder has files.
    """
    if folder.exists() and any(path.name != LOCK for path in folder.iterdir()):
        raise StorageError(f"{folder} is not empty, and restoring overwrites nothing: move it, or set --data-dir")


@contextmanager
def _storage_errors(failure: str) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error, tarfile.TarError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else ""
        raise StorageError(f"{failure}: {reason or exc}") from exc


def _copy_database(source: Path, target: Path) -> int:
    """Copy a database that may be in use, check the copy, and return the number of its entries."""
    with closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True)) as database:
        database.execute("PRAGMA busy_timeout=5000")
        with closing(sqlite3.connect(target)) as copy:
            database.execute("BEGIN")  # one snapshot for all steps: otherwise each write of the server starts the copy anew
            database.execute("SELECT 1 FROM sqlite_schema").fetchone()
            database.backup(copy, pages=PAGES)
            database.execute("ROLLBACK")
            copy.execute("PRAGMA journal_mode=DELETE")  # so that the copy is one file
            fault = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
            if fault != "ok":
                raise StorageError(f"the database {source} is corrupt ({fault}): restore an earlier back-up")
            return int(copy.execute("SELECT count(*) FROM entries").fetchone()[0])


def _write_archive(target: IO[bytes], database: Path, identity: Path, media: Path) -> int:
    """Write the archive, and return the number of its files of content."""
    sums: dict[str, str] = {}
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        _add(archive, DATABASE, database, sums)
        if identity.is_file():
            _add(archive, KEY_FILE, identity, sums)
        count = 0
        for path in sorted(media.glob("*/*")) if media.is_dir() else ():
            name = f"{MEDIA}/{path.parent.name}/{path.name}"
            if not _CONTENT.fullmatch(name):  # a part that is being written
                continue
            try:
                _add(archive, name, path, sums)
            except FileNotFoundError:  # the server has removed content that no message refers to
                continue
            count += 1
        data = msgspec.json.encode(_List(__version__, int(time.time()), sums))
        member = tarfile.TarInfo(LIST)
        member.size, member.mode = len(data), 0o600
        archive.addfile(member, io.BytesIO(data))
    return count


def _add(archive: tarfile.TarFile, name: str, path: Path, sums: dict[str, str]) -> None:
    with path.open("rb") as file:
        member = archive.gettarinfo(arcname=name, fileobj=file)
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        reader = _HashingReader(file)
        archive.addfile(member, reader)
        sums[name] = reader.hash.hexdigest()


class _HashingReader:
    """A file that is read to its end, and the hash of what was read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.hash.update(data)
        return data


def _extract(file: Path, folder: Path) -> int:
    """Extract a back-up into a new folder, check it, and return the number of its files of content."""
    sums: dict[str, str] = {}
    listed: _List | None = None
    with tarfile.open(file, mode="r:") as archive:
        for member in archive:
            source = archive.extractfile(member) if member.isreg() else None
            if source is None or (member.name not in _NAMES and not _CONTENT.fullmatch(member.name)):
                raise StorageError(f"{file} is no back-up of timim: it contains {member.name!r}")
            if member.name == LIST:
                listed = _decode_list(file, source.read(member.size))
            else:
                sums[member.name] = _write(source, folder / member.name)
    if listed is None or listed.sha256 != sums or DATABASE not in sums:
        raise StorageError(f"{file} is no complete back-up of timim: use another one")
    return sum(name.startswith(f"{MEDIA}/") for name in sums)


def _decode_list(file: Path, data: bytes) -> _List:
    try:
        return msgspec.json.decode(data, type=_List)
    except msgspec.DecodeError as exc:
        raise StorageError(f"{file} is no back-up of timim: {LIST}: {exc}") from None


def _write(source: IO[bytes], path: Path) -> str:
    """Write a file durably, and return its hash."""
    private_folder(path.parent)
    written = hashlib.sha256()
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
        while data := source.read(COPY_BYTES):
            target.write(data)
            written.update(data)
        target.flush()
        os.fsync(target.fileno())
    return written.hexdigest()


async def _renew(database: Path) -> int:
    """Migrate a restored database to this version, give it a new epoch, and return the number of its entries."""
    store = SqliteStore(database)
    try:
        await store.open()
        await store.set_meta("epoch", secrets.token_hex(8))
    finally:
        await store.close()

    def count() -> int:
        with closing(sqlite3.connect(database)) as connection:
            return int(connection.execute("SELECT count(*) FROM entries").fetchone()[0])

    return await asyncio.to_thread(count)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

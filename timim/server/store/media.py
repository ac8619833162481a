"""Media content in SQL: unfinished uploads, complete blobs, read access, and garbage collection.

An object is a sequence of bytes that is stored once; a blob is one user's name for an object. A reference is recorded in
the transaction that stores the entry, and only if the sender may read the blob. A blob with a reference is never deleted.
An operation that depends on a row updates the row. A concurrent removal on another node then waits, and checks again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from ...errors import InvalidArgument, InvalidElem, RateLimited
from ...protocol.media import MediaRef
from .entities import Blob, Upload
from .entries import TARGETED
from .operation import Execute, Operation, Row, SqlEngine, first_row

COLLECT_AT_ONCE = 500  # rows of one kind in one transaction
_MAY_READ = (  # a row of `contacts` lets the user read the timeline from its floor on; a targeted entry has grants
    "(b.owner=? OR EXISTS(SELECT 1 FROM media_refs r JOIN contacts c ON c.timeline=r.timeline AND c.user_id=?"
    f" JOIN entries e ON e.timeline=r.timeline AND e.seq=r.seq AND e.kind<>{TARGETED}"
    " WHERE r.uuid=b.uuid AND r.seq>=c.floor) OR EXISTS(SELECT 1 FROM media_grants g WHERE g.uuid=b.uuid AND g.user_id=?))"
)
_BLOB = "SELECT b.uuid, o.object, o.hash, o.size, o.parts FROM media_objects o JOIN media_blobs b ON b.object=o.object"


class UploadLimits(NamedTuple):
    """Limit of the content that one account may upload before its messages refer to it.

    Attributes:
        open: Number of unfinished uploads.
        unnamed_bytes: Size of unfinished uploads and of content without a message, together.
        since: Time of the last use of the oldest content that counts, in server seconds; older content is about to be removed.
    """

    open: int
    unnamed_bytes: int
    since: int


class MediaStore:
    """Metadata of media content; the bytes are in the blob store.

    Times are in server seconds. Every method may raise StorageError.
    """

    def __init__(self, engine: SqlEngine) -> None:
        self._engine = engine

    async def begin(self, owner: str, upload: str, wanted: Upload, *, now: int, limits: UploadLimits) -> Upload | Blob:
        """Begin an upload, or continue the one of this name. Return the user's blob if the same bytes were uploaded before.

        Raises:
            InvalidArgument: The name belongs to an upload of other content; choose another name.
            RateLimited: The user has too many unfinished uploads, or too much content that no message refers to.
        """
        return await self._engine.write(partial(begin, owner, upload, wanted, now, limits))

    async def find(self, owner: str, upload: str) -> Upload | None:
        return await self._engine.read(partial(find, owner, upload))

    async def touch(self, owner: str, upload: str, *, now: int) -> None:
        """Record progress of an upload, so that it does not count as abandoned."""
        await self._engine.write(partial(touch, owner, upload, now))

    async def finish(self, owner: str, upload: str, whole: Upload, uuid: str, parts: Sequence[int], *, now: int) -> Blob | None:
        """Turn a complete upload into the blob described by `whole`. Return None if the upload was deleted meanwhile.

        If `uuid` is the upload's own name, the blob gets it. Otherwise the owner's existing blob of the same bytes is
        returned if there is one.
        """
        return await self._engine.write(partial(finish, owner, upload, whole, uuid, parts, now))

    async def drop(self, owner: str, upload: str) -> str | None:
        """Delete an upload. Return the object whose parts must be deleted, or None if the upload does not exist."""
        return await self._engine.write(partial(drop, owner, upload))

    async def readable(self, uuid: str, user: str) -> Blob | None:
        """Return a blob if the user uploaded it, or may read a message that refers to it; else None."""
        return await self._engine.read(partial(readable, uuid, user))

    async def grant(self, sender: str, user: str, names: Sequence[MediaRef], *, now: int) -> None:
        """Let the recipient of an online message read the files in it until `collect` deletes them.

        Raises:
            InvalidElem: The sender may not read the content.
        """
        await self._engine.write(partial(grant, sender, user, names, now))

    async def collect(self, *, uploads_before: int, blobs_before: int) -> list[str]:
        """Delete abandoned uploads, and blobs without a reference. Return the objects whose bytes can be deleted.

        An object is returned again until `confirm_deleted` is called for it.

        Args:
            uploads_before: Uploads without progress since this time are deleted.
            blobs_before: Blobs that were not used since this time are deleted.
        """
        return await self._engine.write(partial(collect, uploads_before, blobs_before))

    async def confirm_deleted(self, object: str) -> None:
        """Record that the bytes of an object were deleted."""
        await self._engine.write(partial(confirm_deleted, object))


def begin(owner: str, upload: str, wanted: Upload, now: int, limits: UploadLimits) -> Operation[Upload | Blob]:
    """Begin or continue an upload, or return the user's blob of the same bytes. Raises InvalidArgument, RateLimited."""
    known = yield from _own(owner, wanted.hash)
    if known is not None and known.size == wanted.size and (yield from _touched(known.uuid, now)):
        return known
    standing = yield from find(owner, upload)
    if standing is not None:
        if (standing.hash, standing.size) != (wanted.hash, wanted.size):
            raise InvalidArgument(f"upload {upload!r} already exists with other content; choose another name", code=6017)
        yield from touch(owner, upload, now)
        return standing
    counted = yield from first_row("SELECT count(*), coalesce(sum(size), 0) FROM media_uploads WHERE owner=?", owner)
    unfinished, size = (int(counted[0]), int(counted[1])) if counted is not None else (0, 0)
    if unfinished >= limits.open:
        info = f"{unfinished} uploads are unfinished; the limit is {limits.open}; finish or drop one"
        raise RateLimited(info, retry_after=60.0)
    unnamed = yield from first_row(
        "SELECT coalesce(sum(o.size), 0) FROM media_blobs b JOIN media_objects o ON o.object=b.object"
        " WHERE b.owner=? AND b.touched>=? AND NOT EXISTS(SELECT 1 FROM media_refs r WHERE r.uuid=b.uuid)",
        owner,
        limits.since,
    )
    size += int(unnamed[0]) if unnamed is not None else 0
    if size + wanted.size > limits.unnamed_bytes:
        info = (
            f"{size} bytes of uploads wait for messages that refer to them; with {wanted.size} more they are over the limit of "
            f"{limits.unnamed_bytes}: send the messages first"
        )
        raise RateLimited(info, retry_after=60.0)
    yield Execute(
        "INSERT INTO media_uploads VALUES(?,?,?,?,?,?)", (owner, upload, wanted.object, wanted.hash, wanted.size, now)
    )
    return wanted


def find(owner: str, upload: str) -> Operation[Upload | None]:
    row = yield from first_row("SELECT object, hash, size FROM media_uploads WHERE owner=? AND upload=?", owner, upload)
    return Upload(*row) if row else None


def touch(owner: str, upload: str, now: int) -> Operation[None]:
    yield Execute("UPDATE media_uploads SET touched=? WHERE owner=? AND upload=?", (now, owner, upload))


def finish(owner: str, upload: str, whole: Upload, uuid: str, parts: Sequence[int], now: int) -> Operation[Blob | None]:
    """Turn a complete upload into a blob. Return None if the upload was dropped meanwhile."""
    mine = yield from _own(owner, whole.hash)
    if (yield from find(owner, upload)) is None:  # another request finished the upload, or this one did and its reply was lost
        return (yield from readable(uuid, owner)) or mine
    yield Execute("DELETE FROM media_uploads WHERE owner=? AND upload=?", (owner, upload))
    object = whole.object
    made = yield from first_row(
        "INSERT INTO media_objects VALUES(?,?,?,?) ON CONFLICT(hash) DO UPDATE SET size=excluded.size RETURNING object",
        object,
        whole.hash,
        whole.size,
        json.dumps(list(parts)),
    )
    if made is not None and made[0] != object:  # the same bytes exist already: delete the new copy
        yield from _mark_dead(object)
        object = made[0]
    if mine is not None and uuid != upload and (yield from _touched(mine.uuid, now)):
        return mine
    yield Execute("INSERT INTO media_blobs VALUES(?,?,?,?)", (uuid, owner, object, now))
    return (yield from readable(uuid, owner))


def drop(owner: str, upload: str) -> Operation[str | None]:
    """Delete an upload. Return the object whose parts must be deleted, or None if the upload does not exist."""
    row = yield from first_row("DELETE FROM media_uploads WHERE owner=? AND upload=? RETURNING object", owner, upload)
    if row is None:
        return None
    yield from _mark_dead(row[0])
    return str(row[0])


def readable(uuid: str, user: str) -> Operation[Blob | None]:
    """Select a blob if the user uploaded it, or may read a message that refers to it."""
    row = yield from first_row(f"{_BLOB} WHERE b.uuid=? AND {_MAY_READ}", uuid, user, user, user)
    return _blob(row) if row else None


def refer(sender: str, timeline: int, seq: int, names: Sequence[MediaRef], now: int) -> Operation[None]:
    """Record that an entry refers to this content. Raises InvalidElem for content that the sender may not read."""
    for uuid in (yield from _allowed(sender, names, now)):
        yield Execute("INSERT INTO media_refs VALUES(?,?,?) ON CONFLICT(uuid, timeline, seq) DO NOTHING", (uuid, timeline, seq))


def grant(sender: str, user: str, names: Sequence[MediaRef], now: int) -> Operation[None]:
    """Let the recipient of an online message read the files in it until `collect` deletes them. Raises InvalidElem."""
    for uuid in (yield from _allowed(sender, names, now)):
        yield Execute("INSERT INTO media_grants VALUES(?,?) ON CONFLICT(uuid, user_id) DO NOTHING", (uuid, user))


def _allowed(sender: str, names: Sequence[MediaRef], now: int) -> Operation[list[str]]:
    allowed: list[str] = []
    for uuid, ours in sorted(names):  # the same order on every node avoids deadlocks: the rows are locked
        row = yield from first_row(f"SELECT {_MAY_READ} FROM media_blobs b WHERE b.uuid=?", sender, sender, sender, uuid)
        if row is None and not ours:
            continue  # content of another server: nothing of it is stored here
        if row is None or not row[0] or not (yield from _touched(uuid, now)):
            raise InvalidElem(f"content {uuid} does not exist, or {sender!r} may not read it; upload it first", code=90010)
        allowed.append(uuid)
    return allowed


def collect(uploads_before: int, blobs_before: int) -> Operation[list[str]]:
    """Delete abandoned uploads, and blobs without a reference. Return the objects whose bytes can be deleted."""
    rows = yield Execute("SELECT owner, upload FROM media_uploads WHERE touched<? LIMIT ?", (uploads_before, COLLECT_AT_ONCE))
    for owner, upload in rows:
        yield from drop(owner, upload)
    rows = yield Execute(
        "SELECT uuid, object FROM media_blobs b WHERE touched<? AND NOT EXISTS(SELECT 1 FROM media_refs r WHERE r.uuid=b.uuid)"
        " ORDER BY uuid LIMIT ?",
        (blobs_before, COLLECT_AT_ONCE),
    )
    for uuid, object in rows:
        # the row lock: a transaction that refers to the blob has committed before this statement, or waits for this commit
        yield Execute("UPDATE media_blobs SET touched=touched WHERE uuid=?", (uuid,))
        gone = yield Execute(
            "DELETE FROM media_blobs WHERE uuid=? AND touched<? AND NOT EXISTS(SELECT 1 FROM media_refs r WHERE r.uuid=?)"
            " RETURNING uuid",
            (uuid, blobs_before, uuid),
        )
        if not gone:
            continue  # an entry that refers to the blob has been stored since
        yield Execute("DELETE FROM media_grants WHERE uuid=?", (uuid,))
        yield Execute("UPDATE media_objects SET size=size WHERE object=?", (object,))
        unneeded = yield Execute(
            "DELETE FROM media_objects WHERE object=? AND NOT EXISTS(SELECT 1 FROM media_blobs WHERE object=?)"
            " RETURNING object",
            (object, object),
        )
        if unneeded:
            yield from _mark_dead(object)
    rows = yield Execute("SELECT object FROM media_dead LIMIT ?", (COLLECT_AT_ONCE,))
    return [row[0] for row in rows]


def confirm_deleted(object: str) -> Operation[None]:
    """Record that the bytes of an object were deleted."""
    yield Execute("DELETE FROM media_dead WHERE object=?", (object,))


def _mark_dead(object: str) -> Operation[None]:
    yield Execute("INSERT INTO media_dead VALUES(?) ON CONFLICT(object) DO NOTHING", (object,))


def _touched(uuid: str, now: int) -> Operation[bool]:
    """Postpone the collection of a blob. Return False if the blob does not exist any more."""
    rows = yield Execute("UPDATE media_blobs SET touched=? WHERE uuid=? RETURNING uuid", (now, uuid))
    return bool(rows)


def _own(owner: str, hash: str) -> Operation[Blob | None]:
    """Select a user's blob by the hash of its bytes."""
    row = yield from first_row(f"{_BLOB} WHERE o.hash=? AND b.owner=? ORDER BY b.uuid LIMIT 1", hash, owner)
    return _blob(row) if row else None


def _blob(row: Row) -> Blob:
    uuid, object, hash, size, parts = row
    return Blob(uuid, object, hash, size, tuple(json.loads(parts)))

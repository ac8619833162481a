"""Uploads in progress: bytes come in at an offset, are kept in parts, and become content once their hash is right.

What was acknowledged is on disk, also when the connection is cut or this process dies. An upload has one receiver at a
time: who comes later takes it over, for the earlier one's connection may be dead without anybody knowing.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import uuid as uuids
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Protocol

from ...errors import EmptyFile, InvalidArgument, MediaGone, RateLimited, TooLarge, UploadFailed
from ...protocol.media import UUID, BeginUpload
from ..settings import Settings
from ..store.base import Blob, MediaStore, Upload
from .blob_store import BlobStore

PART_BYTES = 4 * 1024 * 1024  # a request to S3 each; two are in memory for each receiver
STALL_S = 30.0  # a body of which nothing comes for so long is dropped
HASHES_KEPT = 256  # of uploads between two requests; another's bytes are read again when they are whole
_HASH = re.compile(r"[0-9a-f]{64}\Z")


class Hasher(Protocol):
    """A hash of the bytes that it was given so far."""

    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


class OffsetMismatch(InvalidArgument):
    """The offset is not where the upload stands."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"offset: the upload stands at {offset}", code=6017)
        self.offset = offset


@dataclass(frozen=True, slots=True)
class UploadProgress:
    """Where an upload stands; `blob` once it is whole."""

    offset: int
    blob: Blob | None = None


@dataclass(slots=True, eq=False)
class _Receiver:
    scope: asyncio.Timeout
    ended: bool = False
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def end(self) -> None:
        """Another one takes over: what came is kept, and this one's body is read no further."""
        self.ended = True
        try:
            self.scope.reschedule(0.0)
        except RuntimeError:
            pass  # it has not begun to read, or has ended already


class Uploads:
    """All uploads of this node. `now` is the server's clock in seconds."""

    def __init__(self, store: MediaStore, blobs: BlobStore, settings: Settings, *, now: Callable[[], float]) -> None:
        self._store = store
        self._blobs = blobs
        self._settings = settings
        self._now = now
        self._receivers: dict[tuple[str, str], _Receiver] = {}
        self._stopping = False
        self._of_user: Counter[str] = Counter()  # how many each account sends now
        self._hashes: OrderedDict[str, tuple[int, Hasher]] = OrderedDict()  # what of the object is hashed

    async def begin(self, user: str, asked: BeginUpload) -> UploadProgress:
        """Begin, or tell where it stands. Raises InvalidArgument, EmptyFile, TooLarge, RateLimited; nothing is stored then."""
        limit = self._limit(asked.kind)
        if not UUID.match(asked.upload):
            raise InvalidArgument("Upload must be 32 hexadecimal digits")
        if not _HASH.match(asked.hash):
            raise InvalidArgument("Hash must be a SHA-256 in 64 hexadecimal digits")
        if asked.size < 1:
            raise EmptyFile("Size: there is nothing in it")
        if asked.size > limit:
            raise TooLarge(f"Size: {asked.size} bytes, the limit for {asked.kind} is {limit}")
        await self._take_over(user, asked.upload)
        wanted = Upload(uuids.uuid4().hex, asked.hash, asked.size)
        found = await self._store.begin(
            user, asked.upload, wanted, now=int(self._now()), open_limit=self._settings.media_open_uploads
        )
        if isinstance(found, Blob):
            return UploadProgress(found.size, found)
        parts = await self._blobs.parts(found.object) if found is not wanted else []
        if sum(parts) >= found.size:
            return await self._finish(user, asked.upload, found, parts)
        return UploadProgress(sum(parts))

    async def receive(self, user: str, upload: str, offset: int, chunks: AsyncIterator[bytes]) -> UploadProgress:
        """Take bytes in from `offset` on. Raises MediaGone for no such upload, Elsewhere, TooLarge, UploadFailed, StorageError.

        When the body ends early, by its sender or by STALL_S, what came is kept, and TimeoutError or the body's own error
        tells it.
        """
        await self._take_over(user, upload)
        row = await self._store.find(user, upload)
        if row is None:
            raise MediaGone("there is no such upload: begin it again")
        receiver = self._register_receiver(user, upload)
        try:
            parts = await self._blobs.parts(row.object)
            if sum(parts) != offset:
                raise OffsetMismatch(sum(parts))
            writer = _PartWriter(self._blobs, row.object, parts, self._hash_at(row.object, offset))
            try:
                async with receiver.scope:
                    if receiver.ended:
                        raise TimeoutError
                    await _copy(chunks, writer, row.size, receiver.scope)
            finally:
                await asyncio.shield(writer.close())
                self._keep_hash(row.object, writer)
                await self._store.touch(user, upload, now=int(self._now()))
            if sum(parts) < row.size:
                return UploadProgress(sum(parts))
            return await self._finish(user, upload, row, parts)
        finally:
            self._unregister_receiver(user, upload, receiver)

    async def receive_whole(self, user: str, uuid: str, kind: str, size: int, chunks: AsyncIterator[bytes]) -> Blob:
        """One body whose hash nobody announced, as content of this uuid: what web clients send. `size` 0: not known.

        It cannot go on after a cut: then nothing of it stays. Raises as `receive`, and EmptyFile.
        """
        limit, now = self._limit(kind), int(self._now())
        if size > limit:
            raise TooLarge(f"{size} bytes, the limit for {kind} is {limit}")
        await self._take_over(user, uuid)
        known = await self._store.readable(uuid, user)
        if known is not None:
            return known  # it came before, and its answer was lost
        begun = await self._store.begin(
            user, uuid, Upload(uuids.uuid4().hex, "", limit), now=now, open_limit=self._settings.media_open_uploads
        )
        assert isinstance(begun, Upload)
        receiver = self._register_receiver(user, uuid)
        try:
            writer = _PartWriter(self._blobs, begun.object, [], hashlib.sha256())
            try:
                async with receiver.scope:
                    await _copy(chunks, writer, limit, receiver.scope)
            finally:
                await asyncio.shield(writer.close())
            if not writer.parts:
                raise EmptyFile("there is nothing in it")
            assert writer.hashed is not None
            whole = Upload(begun.object, writer.hashed.hexdigest(), sum(writer.parts))
            blob = await self._store.finish(user, uuid, whole, uuid, writer.parts, now=int(self._now()))
            if blob is None:
                raise MediaGone("the upload was dropped")
            return blob
        except BaseException:
            await asyncio.shield(self._discard(user, uuid))
            raise
        finally:
            self._unregister_receiver(user, uuid, receiver)

    async def drop(self, user: str, upload: str) -> None:
        """Give up an upload: nothing of it stays. No such upload is no error."""
        await self._take_over(user, upload)
        await self._discard(user, upload)

    async def drain(self) -> None:
        """Take nothing more; what came so far is kept, and its senders go on elsewhere or later."""
        self._stopping = True
        receivers = list(self._receivers.values())
        for receiver in receivers:
            receiver.end()
        for receiver in receivers:
            await receiver.done.wait()

    async def sweep(self) -> int:
        """Give up what was abandoned, and content that no message names; how many objects went."""
        now = int(self._now())
        for user, upload in list(self._receivers):
            await self._store.touch(user, upload, now=now)  # a slow one is not an abandoned one
        dead = await self._store.collect(
            uploads_before=now - int(self._settings.media_upload_idle_s), blobs_before=now - int(self._settings.media_grace_s)
        )
        for object in dead:
            await self.delete_object(object)
        return len(dead)

    async def delete_object(self, object: str) -> None:
        """Remove the bytes of an object that the store gave up."""
        self._hashes.pop(object, None)
        await self._blobs.delete(object)
        await self._store.confirm_deleted(object)

    def _limit(self, kind: str) -> int:
        limits = self._settings.media_limits
        if kind not in limits:
            raise InvalidArgument(f"Kind must be one of {', '.join(limits)}")
        return limits[kind]

    def _register_receiver(self, user: str, upload: str) -> _Receiver:
        """Begin to receive. Raises RateLimited."""
        if self._stopping:
            raise RateLimited("the server is stopping", retry_after=1.0)
        if self._of_user[user] >= self._settings.media_receiving_per_user:
            raise RateLimited("too many uploads of this account at once", retry_after=1.0)
        if self._of_user.total() >= self._settings.media_receiving:
            raise RateLimited("too many uploads at once", retry_after=1.0)
        if (user, upload) in self._receivers:
            raise RateLimited("another connection sends this upload", retry_after=0.2)
        self._of_user[user] += 1
        receiver = self._receivers[user, upload] = _Receiver(asyncio.timeout(STALL_S))
        return receiver

    def _unregister_receiver(self, user: str, upload: str, receiver: _Receiver) -> None:
        self._of_user[user] -= 1
        if not self._of_user[user]:
            del self._of_user[user]
        del self._receivers[user, upload]
        receiver.done.set()

    async def _take_over(self, user: str, upload: str) -> None:
        """End whoever sends this upload now; what came of it is kept."""
        while (receiver := self._receivers.get((user, upload))) is not None:
            receiver.end()
            await receiver.done.wait()

    async def _finish(self, user: str, upload: str, row: Upload, parts: list[int]) -> UploadProgress:
        """All bytes are here: check them, and make them content."""
        hashed = self._hash_at(row.object, row.size) if sum(parts) == row.size else None
        if hashed is None:
            hashed = hashlib.sha256()
            async for chunk in self._blobs.read(row.object, parts):
                await asyncio.to_thread(hashed.update, chunk)
        if hashed.hexdigest() != row.hash:
            await self._discard(user, upload)
            raise UploadFailed("Hash: the bytes that came are not those that were announced; the upload was dropped")
        blob = await self._store.finish(user, upload, row, uuids.uuid4().hex, parts, now=int(self._now()))
        self._hashes.pop(row.object, None)
        if blob is None:
            raise MediaGone("the upload was dropped")
        return UploadProgress(blob.size, blob)

    async def _discard(self, user: str, upload: str) -> None:
        object = await self._store.drop(user, upload)
        if object is not None:
            await self.delete_object(object)

    def _hash_at(self, object: str, offset: int) -> Hasher | None:
        """Return the hash of the first `offset` bytes, when it is known."""
        if offset == 0:
            return hashlib.sha256()
        at, hashed = self._hashes.get(object, (-1, None))
        return hashed if at == offset else None

    def _keep_hash(self, object: str, writer: _PartWriter) -> None:
        if writer.hashed is not None:
            self._hashes[object] = sum(writer.parts), writer.hashed
            self._hashes.move_to_end(object)
            if len(self._hashes) > HASHES_KEPT:
                self._hashes.popitem(last=False)


class _PartWriter:
    """Stores parts behind the receiver, one at a time; `parts` grows by what is on disk."""

    def __init__(self, blobs: BlobStore, object: str, parts: list[int], hashed: Hasher | None) -> None:
        self._blobs = blobs
        self._object = object
        self._waiting: list[bytes] = []
        self._size = 0
        self._storing: asyncio.Task[None] | None = None
        self._syncing: list[asyncio.Task[None]] = []
        self._failed = False
        self.parts = parts
        self.hashed = hashed
        self.taken = sum(parts)

    async def add(self, chunk: bytes) -> None:
        self._waiting.append(chunk)
        self._size += len(chunk)
        self.taken += len(chunk)
        if self._size >= PART_BYTES:
            await self._store()

    async def close(self) -> None:
        """Store what waits, and have all of it on disk. Raises StorageError when something is not."""
        try:
            await self._wait_stored()
            if self._size and not self._failed:
                await self._store()
                await self._wait_stored()
        finally:
            syncing, self._syncing = self._syncing, []
            await asyncio.gather(*syncing)
        if syncing:
            await self._blobs.sync(self._object)

    async def _store(self) -> None:
        await self._wait_stored()
        data, self._waiting, self._size = b"".join(self._waiting), [], 0
        self._storing = asyncio.create_task(self._put(data), name="timim part")

    async def _wait_stored(self) -> None:
        storing, self._storing = self._storing, None
        if storing is not None:
            try:
                await asyncio.shield(storing)
            except asyncio.CancelledError:
                self._storing = storing  # close() waits for it
                raise

    async def _put(self, data: bytes) -> None:
        at = sum(self.parts)
        try:
            if self.hashed is not None:
                await asyncio.gather(self._blobs.put(self._object, at, data), asyncio.to_thread(self.hashed.update, data))
            else:
                await self._blobs.put(self._object, at, data)
        except BaseException:
            self._failed, self.hashed = True, None  # what comes after it must not take its place
            raise
        self.parts.append(len(data))
        # the disk takes it while more is received; who sends hears of it when all is there
        self._syncing.append(asyncio.create_task(self._blobs.sync(self._object, at), name="timim part sync"))


async def _copy(chunks: AsyncIterator[bytes], writer: _PartWriter, size: int, scope: asyncio.Timeout) -> None:
    loop = asyncio.get_running_loop()
    moved = loop.time()
    async for chunk in chunks:
        if writer.taken + len(chunk) > size:
            raise TooLarge(f"more than the {size} bytes that were announced")
        if chunk:
            await writer.add(chunk)
        if loop.time() - moved > 1.0 and (deadline := scope.when()) is not None and deadline > loop.time():
            moved = loop.time()
            scope.reschedule(moved + STALL_S)

"""Resumable uploads. Bytes arrive at an offset, are stored in parts, and become content once their hash is verified.

Acknowledged bytes are on disk, and survive a cut connection and a crash. An upload has one receiver at a time: a later
connection takes the upload over, because the earlier connection may be dead without the server's knowledge.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import uuid as uuids
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Protocol

from ...errors import EmptyFile, InvalidArgument, MediaGone, RateLimited, TooLarge, UploadFailed
from ...protocol.media import UUID, BeginUpload
from ..settings import Settings
from ..store.base import Blob, MediaStore, Upload, UploadLimits
from .blob_store import BlobStore
from .body_receiver import BodyReceiver

PART_BYTES = 4 * 1024 * 1024  # the size of a request to S3; each receiver has two parts in memory
HASHES_KEPT = 256  # hash states of interrupted uploads; other uploads are read again after their last byte
_HASH = re.compile(r"[0-9a-f]{64}\Z")


class Hasher(Protocol):
    """A hash that is computed incrementally."""

    def update(self, data: bytes, /) -> None:
        """Add bytes to the hash."""
        ...

    def hexdigest(self) -> str:
        """Return the hash of all added bytes in hexadecimal digits."""
        ...


class OffsetMismatch(InvalidArgument):
    """The offset of a request is not the end of the stored bytes; continue at `offset`."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"offset must be {offset}, the number of bytes that are stored", code=6017)
        self.offset = offset


@dataclass(frozen=True, slots=True)
class UploadProgress:
    """Number of stored bytes of an upload, and its blob once the upload is complete."""

    offset: int
    blob: Blob | None = None


class Uploads:
    """The uploads of this node. `now` is the server's clock, in seconds since 1970."""

    def __init__(self, store: MediaStore, blobs: BlobStore, settings: Settings, *, now: Callable[[], float]) -> None:
        self._store = store
        self._blobs = blobs
        self._settings = settings
        self._now = now
        self._receivers: dict[tuple[str, str], BodyReceiver] = {}
        self._stopping = False
        self._of_user: Counter[str] = Counter()  # number of receivers by account
        self._of_address: Counter[str] = Counter()
        self._hashes: OrderedDict[str, tuple[int, Hasher]] = OrderedDict()  # object → number of hashed bytes, hash

    async def begin(self, user: str, asked: BeginUpload) -> UploadProgress:
        """Begin an upload, or return the progress of one with the same id.

        Raises:
            InvalidArgument: A field of `asked` is malformed.
            EmptyFile: The size is 0.
            TooLarge: The size is over the limit of its kind.
            RateLimited: The account has too many unfinished uploads, or too much content that no message refers to.
            StorageError: The store failed.
        """
        limit = self._limit(asked.kind)
        if not UUID.match(asked.upload):
            raise InvalidArgument("Upload must be 32 hexadecimal digits")
        if not _HASH.match(asked.hash):
            raise InvalidArgument("Hash must be a SHA-256 in 64 hexadecimal digits")
        if asked.size < 1:
            raise EmptyFile(f"Size must be 1 or more, not {asked.size}")
        if asked.size > limit:
            raise TooLarge(f"Size is {asked.size} bytes; the limit for {asked.kind} is {limit}")
        await self._take_over(user, asked.upload)
        wanted = Upload(uuids.uuid4().hex, asked.hash, asked.size)
        found = await self._store.begin(user, asked.upload, wanted, now=int(self._now()), limits=self._upload_limits())
        if isinstance(found, Blob):
            return UploadProgress(found.size, found)
        parts = await self._blobs.parts(found.object) if found is not wanted else []
        if sum(parts) >= found.size:
            return await self._finish(user, asked.upload, found, parts)
        return UploadProgress(sum(parts))

    async def receive(
        self, user: str, upload: str, offset: int, chunks: AsyncIterator[bytes], *, address: str = ""
    ) -> UploadProgress:
        """Receive bytes from `offset` on, and finish the upload with its last byte.

        If the body ends early, the received bytes are kept, and the error of the body is raised. The upload
        counts for `address`, if it is known.

        Raises:
            MediaGone: There is no such upload; begin it again.
            OffsetMismatch: The offset is not the number of stored bytes.
            TooLarge: The body has more bytes than were announced.
            UploadFailed: The hash of the bytes is not the announced one; the upload was removed.
            RateLimited: The node, the account or the address has too many uploads in progress.
            TimeoutError: The body arrives below the least rate, or another connection took the upload over.
            StorageError: The store failed.
        """
        await self._take_over(user, upload)
        # before the row is read, so that `drop` waits for this receiver
        receiver = self._register_receiver(user, upload, address)
        try:
            row = await self._store.find(user, upload)
            if row is None:
                raise MediaGone("the upload does not exist or was removed; begin it again")
            parts = await self._blobs.parts(row.object)
            if sum(parts) != offset:
                raise OffsetMismatch(sum(parts))
            writer = _PartWriter(self._blobs, row.object, parts, self._hash_at(row.object, offset))
            try:
                async with receiver.scope:
                    if receiver.ended:
                        raise TimeoutError
                    await _copy(chunks, writer, row.size, receiver)
            finally:
                await asyncio.shield(writer.close())
                self._keep_hash(row.object, writer)
                await self._store.touch(user, upload, now=int(self._now()))
            if sum(parts) < row.size:
                return UploadProgress(sum(parts))
            return await self._finish(user, upload, row, parts)
        finally:
            self._unregister_receiver(user, upload, address, receiver)

    async def receive_whole(
        self, user: str, uuid: str, kind: str, size: int, chunks: AsyncIterator[bytes], *, address: str = ""
    ) -> Blob:
        """Receive the upload of a web client, which is one body without an announced hash.

        Such an upload cannot be resumed: if the body ends early, the received bytes are removed.

        Args:
            user: The user who uploads.
            uuid: The uuid of the content.
            kind: Kind of the content.
            size: Number of bytes, or 0 if it is unknown.
            chunks: The body.
            address: The address that the upload counts for; empty if it is unknown.

        Raises:
            InvalidArgument: The kind is unknown.
            TooLarge: The body is over the limit of its kind.
            EmptyFile: The body is empty.
            MediaGone: The upload was removed meanwhile.
            RateLimited: The node, the account or the address has too many uploads in progress.
            TimeoutError: The body arrives below the least rate.
            StorageError: The store failed.
        """
        limit, now = self._limit(kind), int(self._now())
        if size > limit:
            raise TooLarge(f"the body is {size} bytes long; the limit for {kind} is {limit}")
        await self._take_over(user, uuid)
        known = await self._store.readable(uuid, user)
        if known is not None:
            return known  # a retry of a complete upload whose reply was lost
        begun = await self._store.begin(user, uuid, Upload(uuids.uuid4().hex, "", limit), now=now, limits=self._upload_limits())
        assert isinstance(begun, Upload)
        receiver = self._register_receiver(user, uuid, address)
        try:
            writer = _PartWriter(self._blobs, begun.object, [], hashlib.sha256())
            try:
                async with receiver.scope:
                    await _copy(chunks, writer, limit, receiver)
            finally:
                await asyncio.shield(writer.close())
            if not writer.parts:
                raise EmptyFile("the body is empty; send 1 byte or more")
            assert writer.hashed is not None
            whole = Upload(begun.object, writer.hashed.hexdigest(), sum(writer.parts))
            blob = await self._store.finish(user, uuid, whole, uuid, writer.parts, now=int(self._now()))
            if blob is None:
                raise MediaGone("the upload was removed while it was received; begin it again")
            return blob
        except BaseException:
            await asyncio.shield(self._discard(user, uuid))
            raise
        finally:
            self._unregister_receiver(user, uuid, address, receiver)

    async def drop(self, user: str, upload: str) -> None:
        """Remove an upload and its bytes; a missing upload is no error.

        Raises:
            StorageError: The store failed.
        """
        await self._take_over(user, upload)
        await self._discard(user, upload)

    async def drain(self) -> None:
        """Stop receiving, and keep the received bytes. Clients resume their uploads later or at another node."""
        self._stopping = True
        receivers = list(self._receivers.values())
        for receiver in receivers:
            receiver.end()
        for receiver in receivers:
            await receiver.done.wait()

    async def sweep(self) -> int:
        """Remove abandoned uploads, and content that no message refers to; return the number of removed objects.

        Raises:
            StorageError: The store failed.
        """
        now = int(self._now())
        for user, upload in list(self._receivers):
            await self._store.touch(user, upload, now=now)  # a slow upload is not abandoned
        dead = await self._store.collect(
            uploads_before=now - int(self._settings.media_upload_idle_s), blobs_before=now - int(self._settings.media_grace_s)
        )
        for object in dead:
            await self.delete_object(object)
        return len(dead)

    async def delete_object(self, object: str) -> None:
        """Remove the bytes of an object that the store has marked as deleted."""
        self._hashes.pop(object, None)
        await self._blobs.delete(object)
        await self._store.confirm_deleted(object)

    def _upload_limits(self) -> UploadLimits:
        settings = self._settings
        since = int(self._now() - settings.media_grace_s)
        return UploadLimits(settings.media_open_uploads, settings.media_unnamed_bytes, since)

    def _limit(self, kind: str) -> int:
        limits = self._settings.media_limits
        if kind not in limits:
            raise InvalidArgument(f"Kind must be one of {', '.join(limits)}, not {kind[:40]!r}")
        return limits[kind]

    def _register_receiver(self, user: str, upload: str, address: str) -> BodyReceiver:
        """Register a receiver of an upload.

        Raises:
            RateLimited: The server stops, the node, the account or the address has too many receivers, or the upload has one.
        """
        settings = self._settings
        if self._stopping:
            raise RateLimited("the server is stopping; continue the upload at another server", retry_after=1.0)
        if self._of_user[user] >= settings.media_receiving_per_user:
            limit = settings.media_receiving_per_user
            raise RateLimited(f"{user!r} has {limit} uploads in progress, which is the limit", retry_after=1.0)
        if address and 0 < settings.media_receiving_per_address <= self._of_address[address]:
            limit = settings.media_receiving_per_address
            raise RateLimited(f"{address} has {limit} uploads in progress, which is the limit", retry_after=1.0)
        if self._of_user.total() >= settings.media_receiving:
            limit = settings.media_receiving
            raise RateLimited(f"the server has {limit} uploads in progress, which is the limit", retry_after=1.0)
        if (user, upload) in self._receivers:
            raise RateLimited("another connection sends this upload; try again", retry_after=0.2)
        self._of_user[user] += 1
        self._of_address[address] += 1
        receiver = self._receivers[user, upload] = BodyReceiver(settings.least_bytes_per_s, settings.least_rate_s)
        return receiver

    def _unregister_receiver(self, user: str, upload: str, address: str, receiver: BodyReceiver) -> None:
        for counted, name in ((self._of_user, user), (self._of_address, address)):
            counted[name] -= 1
            if not counted[name]:
                del counted[name]
        del self._receivers[user, upload]
        receiver.done.set()

    async def _take_over(self, user: str, upload: str) -> None:
        """End the current receiver of an upload, and keep the received bytes."""
        while (receiver := self._receivers.get((user, upload))) is not None:
            receiver.end()
            await receiver.done.wait()

    async def _finish(self, user: str, upload: str, row: Upload, parts: list[int]) -> UploadProgress:
        """Verify the hash of a complete upload, and turn the upload into content.

        Raises:
            UploadFailed: The hash is wrong; the upload was removed.
            MediaGone: The upload was removed meanwhile.
        """
        hashed = self._hash_at(row.object, row.size) if sum(parts) == row.size else None
        if hashed is None:
            hashed = hashlib.sha256()
            async for chunk in self._blobs.read(row.object, parts):
                await asyncio.to_thread(hashed.update, chunk)
        if hashed.hexdigest() != row.hash:
            await self._discard(user, upload)
            raise UploadFailed("the received bytes do not have the announced Hash; the upload was removed, begin it again")
        blob = await self._store.finish(user, upload, row, uuids.uuid4().hex, parts, now=int(self._now()))
        self._hashes.pop(row.object, None)
        if blob is None:
            raise MediaGone("the upload was removed while it was finished; begin it again")
        return UploadProgress(blob.size, blob)

    async def _discard(self, user: str, upload: str) -> None:
        object = await self._store.drop(user, upload)
        if object is not None:
            await self.delete_object(object)

    def _hash_at(self, object: str, offset: int) -> Hasher | None:
        """Return the hash of the first `offset` bytes, or None if it is unknown."""
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
    """Writer that stores parts in the background, one at a time. `parts` has the sizes of the stored parts."""

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
        """Store the remaining bytes, and sync all parts to disk.

        Raises:
            StorageError: A part was not stored or not synced.
        """
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
            self._failed, self.hashed = True, None  # a later part must not be stored at this offset
            raise
        self.parts.append(len(data))
        # sync while more bytes arrive; the client gets its reply after the last sync
        self._syncing.append(asyncio.create_task(self._blobs.sync(self._object, at), name="timim part sync"))


async def _copy(chunks: AsyncIterator[bytes], writer: _PartWriter, size: int, receiver: BodyReceiver) -> None:
    receiver.begin()
    async for chunk in chunks:
        if writer.taken + len(chunk) > size:
            raise TooLarge(f"the body has more than {size} bytes, the announced size or the limit")
        if chunk:
            receiver.count(len(chunk))
            await writer.add(chunk)
            receiver.resume()

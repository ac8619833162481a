"""Content of outgoing elems: on disk before the message's row, uploaded before the message's frame.

Content given by path is read from there; content given as bytes lies in the account's `outgoing` folder until the server
has the message, so that it goes out after a crash too. A client that keeps nothing keeps it in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn, TypeGuard, TypeVar
from uuid import uuid4

import aiofiles.os

from ..elems import (
    AnyElem,
    BoundElem,
    FileElem,
    ImageCompression,
    ImageElem,
    ImageType,
    ImageVariant,
    MergerElem,
    Progress,
    SoundElem,
    VideoElem,
)
from ..errors import FileMissing, InvalidArgument, StorageError
from ..media import ImageVariants, Variant, compressed_image, image_variants, strip_location
from ..media_tools.duration import checked_duration
from ..message import Message
from ..protocol.media import nested_media_uuids
from ..protocol.merger import unpack_merger
from ..transport.media_transfer import MediaTransfer
from ..transport.upload_source import upload_source
from ..util.files import PIECE_BYTES, open_for_writing, remove_file

E = TypeVar("E", bound=AnyElem)
INLINE_LIMIT_BYTES = 8 * 1024  # of a merger's messages in a body of 12 KB: the rest is for other elems


class Attachments:
    """Uploads before a send; binds received elems to where their content is."""

    def __init__(self, transfer: MediaTransfer, folder: Path | None) -> None:
        self._transfer = transfer
        self._folder = folder
        self._files: dict[str, list[Path]] = {}

    def bind_elem(self, elem: E) -> E:
        """Let the elem fetch its content through this client."""
        if isinstance(elem, BoundElem):
            elem.bind(self._transfer)
            if isinstance(elem, MergerElem):
                elem.bind_unpacker(self._unpack_merger)
        return elem

    def _unpack_merger(self, content: bytes) -> list[Message]:
        """Make the messages of a merger; their content can be fetched through this client too."""
        messages = unpack_merger(content)
        for message in messages:
            message.bind(self)
        return messages

    @property
    def message_verbs(self) -> NoReturn:
        """Raise InvalidArgument: this object owns the messages inside mergers, which have no row and no seq."""
        raise InvalidArgument("a message inside a merger cannot be changed: it belongs to no conversation")

    def bind_elems(self, elems: Sequence[AnyElem]) -> None:
        """Let these elems fetch their content through this client."""
        for elem in elems:
            if isinstance(elem, BoundElem):
                self.bind_elem(elem)

    async def persist(self, message: Message) -> None:
        """Put content that was given as bytes on disk. Raises StorageError; nothing is left there then."""
        if self._folder is None or not any(map(_in_memory, message.elems)):
            return
        kept = self._files[message.msg_id] = []
        try:
            message.replace_elems([await self._persist_elem(elem, kept) for elem in message.elems])
        except BaseException:
            await asyncio.shield(self.release(message))
            raise

    async def _persist_elem(self, elem: AnyElem, kept: list[Path]) -> AnyElem:
        update: dict[str, object] = {}
        match elem:
            case ImageElem(path=None, data=bytes(data)) | SoundElem(path=None, data=bytes(data)):
                update = {"path": await self._write_file(data, kept), "data": None}
            case FileElem(path=None, data=bytes(data)):
                update = {"path": await self._write_file(data, kept), "data": None}
            case VideoElem(snapshot=snapshot):
                if elem.path is None and elem.data is not None:
                    update = {"path": await self._write_file(elem.data, kept), "data": None}
                if isinstance(snapshot, bytes):
                    update["snapshot"] = await self._write_file(snapshot, kept)
            case _:
                pass
        return elem.model_copy(update=update) if update else elem

    async def _write_file(self, data: bytes, kept: list[Path]) -> Path:
        assert self._folder is not None
        path = self._folder / uuid4().hex
        kept.append(path)
        await _write(path, data)
        return path

    def is_persisted(self, message: Message) -> bool:
        """Whether something of it lies on disk until it is on the server."""
        return message.msg_id in self._files

    async def release(self, message: Message) -> None:
        """The message is on the server, or will never be: what was kept of it goes."""
        for path in self._files.pop(message.msg_id, ()):
            await remove_file(path)

    async def remove_orphans(self, unsent: Iterable[Message]) -> None:
        """Remove what no unsent message needs: an earlier run ended before it could."""
        if self._folder is None:
            return
        needed: set[Path] = set()
        for message in unsent:
            self._files[message.msg_id] = [path for elem in message.elems for path in self._files_of(elem)]
            needed.update(self._files[message.msg_id])
        await _remove_others(self._folder, needed)

    def _files_of(self, elem: AnyElem) -> list[Path]:
        paths: list[Path | bytes | None] = []
        if isinstance(elem, ImageElem | SoundElem | FileElem | VideoElem):
            paths.append(elem.path)
        if isinstance(elem, VideoElem):
            paths.append(elem.snapshot)
        return [path for path in paths if isinstance(path, Path) and path.parent == self._folder]

    async def upload(self, message: Message, progress: Progress | None) -> None:
        """Upload what is not uploaded yet; the message's elems then say where it is. Raises MediaError, NetworkError.

        An upload is named by its message and its place in it, so that it goes on where it stopped, also in a later process.
        """
        pending = [elem for elem in message.elems if _needs_upload(elem)]
        if not pending:
            return
        sizes = await asyncio.gather(*(upload_source(_source(elem)).size() for elem in pending if _is_content(elem)))
        meter = ProgressMeter(progress, sizes)
        elems: list[AnyElem] = []
        for place, elem in enumerate(message.elems):
            elems.append(
                self.bind_elem(await self._upload_elem(elem, f"{message.msg_id}/{place}", meter))
                if _needs_upload(elem)
                else elem
            )
        message.replace_elems(elems)

    async def discard(self, message: Message) -> None:
        """The message will never go out: the server need not keep what it has of its content."""
        for place, elem in enumerate(message.elems):
            if _is_content(elem) and _needs_upload(elem):
                await self._transfer.abort_upload(_source(elem), name=f"{message.msg_id}/{place}")

    async def _upload_elem(self, elem: AnyElem, name: str, meter: ProgressMeter) -> AnyElem:
        match elem:
            case ImageElem():
                return await self._upload_image(elem, name, meter)
            case SoundElem():
                elem = elem.model_copy(update={"duration": await checked_duration(_source(elem), elem.duration)})
                up = await self._transfer.upload(_source(elem), kind="sound", name=name, progress=meter.next_part())
            case FileElem():
                up = await self._transfer.upload(_source(elem), kind="file", name=name, progress=meter.next_part())
            case VideoElem():
                return await self._upload_video(elem, name, meter)
            case MergerElem():
                up = await self._transfer.upload(elem.content, kind="file", name=name)
                kept = {"uuid": up.uuid, "url": up.url, "size": up.size_bytes, "media": nested_media_uuids(elem.content)}
                return elem.model_copy(update={**kept, "content": b""})
            case _:
                return elem
        path = None if self._files_of(elem) else elem.path
        return elem.model_copy(update={"uuid": up.uuid, "url": up.url, "size": up.size_bytes, "data": None, "path": path})

    async def _upload_image(self, elem: ImageElem, name: str, meter: ProgressMeter) -> ImageElem:
        source = _source(elem)
        if elem.compression is not ImageCompression.ORIGINAL:
            source = await compressed_image(source, elem.compression)
        if elem.strip_location:
            source = await strip_location(source)
        made = await image_variants(source)
        images = await self._upload_variants(made, source, name, meter)
        original = images[ImageType.ORIGINAL]
        update: dict[str, object] = {
            "uuid": original.uuid,
            "image_format": made.image_format,
            "images": images,
            "data": None,
        }
        if self._files_of(elem):
            update["path"] = None
        return elem.model_copy(update=update)

    async def _upload_variants(
        self, made: ImageVariants, source: Path | bytes, name: str, meter: ProgressMeter
    ) -> dict[ImageType, ImageVariant]:
        first = await self._transfer.upload(source, kind="image", name=name, progress=meter.next_part())
        images: dict[ImageType, ImageVariant] = {}
        kinds: tuple[tuple[ImageType, Variant], ...] = (
            (ImageType.ORIGINAL, made.original),
            (ImageType.LARGE, made.large),
            (ImageType.THUMB, made.thumb),
        )
        for kind, variant in kinds:
            up = first
            if variant.data is not None:
                up = await self._transfer.upload(variant.data, kind="image", name=f"{name}/{kind.value}")
            images[kind] = ImageVariant(
                type=kind, width=variant.width, height=variant.height, size=up.size_bytes, url=up.url, uuid=up.uuid
            )
        return images

    async def _upload_video(self, elem: VideoElem, name: str, meter: ProgressMeter) -> VideoElem:
        duration = await checked_duration(_source(elem), elem.duration)
        update: dict[str, object] = {"data": None, "snapshot": None, "duration": duration}
        if elem.snapshot is not None:
            made = await image_variants(elem.snapshot)
            snap = await self._transfer.upload(elem.snapshot, kind="image", name=f"{name}/snapshot")
            update |= {
                "snapshot_uuid": snap.uuid,
                "snapshot_url": snap.url,
                "snapshot_size": snap.size_bytes,
                "snapshot_width": made.original.width,
                "snapshot_height": made.original.height,
                "snapshot_format": made.original.format.lower(),
            }
        up = await self._transfer.upload(_source(elem), kind="video", name=name, progress=meter.next_part())
        suffix = elem.path.suffix.lstrip(".").lower() if elem.path else ""
        update |= {"uuid": up.uuid, "url": up.url, "size": up.size_bytes, "format": elem.format or suffix}
        if elem.path in self._files_of(elem):
            update["path"] = None
        return elem.model_copy(update=update)


class ProgressMeter:
    """One message's progress over all that it uploads, one after the other: never back, and done at the end."""

    def __init__(self, progress: Progress | None, sizes: Sequence[int]) -> None:
        self._progress = progress
        self._left = list(sizes)
        self._total = sum(sizes)
        self._before = 0

    def next_part(self) -> Progress | None:
        """The progress of the next upload, in the order of `sizes`."""
        size, before = self._left.pop(0), self._before
        self._before += size
        progress, total = self._progress, self._total
        if progress is None:
            return None

        def report(done: int, of: int) -> None:  # a compressed picture has fewer bytes than its file
            progress(before + done * size // of, total)

        return report


def _in_memory(elem: AnyElem) -> bool:
    match elem:
        case ImageElem() | SoundElem() | FileElem():
            return elem.path is None and elem.data is not None
        case VideoElem():
            return (elem.path is None and elem.data is not None) or isinstance(elem.snapshot, bytes)
        case _:
            return False


async def _write(path: Path, data: bytes) -> None:
    """Put content on the disk. Raises StorageError."""
    try:
        await aiofiles.os.makedirs(path.parent, exist_ok=True)
        async with open_for_writing(path, "xb") as writer:
            for at in range(0, len(data), PIECE_BYTES):
                await writer.write(memoryview(data)[at : at + PIECE_BYTES])
            await writer.sync()
    except OSError as exc:
        raise StorageError(f"cannot keep the content in {path.parent}: {exc.strerror}") from exc


async def _remove_others(folder: Path, needed: set[Path]) -> None:
    if await aiofiles.os.path.exists(folder):
        for name in await aiofiles.os.listdir(folder):
            if folder / name not in needed:
                await remove_file(folder / name)


def has_content(elems: Iterable[AnyElem]) -> bool:
    """Whether any of these has content besides its JSON."""
    return any(isinstance(elem, ImageElem | SoundElem | FileElem | VideoElem) or _needs_upload(elem) for elem in elems)


def _needs_upload(elem: AnyElem) -> bool:
    match elem:
        case ImageElem():
            return not elem.images
        case SoundElem() | FileElem() | VideoElem():
            return not elem.url
        case MergerElem():
            return len(elem.content) > INLINE_LIMIT_BYTES
        case _:
            return False


def _is_content(elem: AnyElem) -> TypeGuard[ImageElem | SoundElem | FileElem | VideoElem]:
    return isinstance(elem, ImageElem | SoundElem | FileElem | VideoElem)


def _source(elem: ImageElem | SoundElem | FileElem | VideoElem) -> Path | bytes:
    """Where the content is: the path wins. Raises FileMissing for bytes that an earlier run was given."""
    if elem.path is not None:
        return elem.path
    if elem.data is None:
        raise FileMissing("the content was given as bytes to an earlier run of this program, which kept nothing")
    return elem.data

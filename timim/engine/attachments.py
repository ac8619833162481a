"""Content of outgoing elems: written to disk before the message's row, uploaded before the message is sent.

Content given by path is read from that path. Content given as bytes is stored in the account's `outgoing` folder until the
server has the message, so that the message can be sent after a crash. A client without a data folder keeps the bytes in
memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar
from uuid import uuid4

import aiofiles.os

from ..elems import (
    AnyElem,
    BoundElem,
    ContentElem,
    Elem,
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
from ..transport.upload_source import BytesSource, UploadSource, upload_source
from ..util.files import PIECE_BYTES, open_for_writing, remove_file
from ..util.private_files import private_folder

E = TypeVar("E", bound=Elem)


class Attachments:
    """Stores and uploads the content of sent elems, and binds received elems to the client."""

    def __init__(self, transfer: MediaTransfer, folder: Path | None) -> None:
        self._transfer = transfer
        self._folder = folder
        self._files: dict[str, list[Path]] = {}

    def bind_elem(self, elem: E) -> E:
        """Let an elem fetch its content through this client; return the elem."""
        if isinstance(elem, BoundElem):
            elem.bind(self._transfer)
            if isinstance(elem, MergerElem):
                elem.bind_unpacker(self._unpack_merger)
        return elem

    def _unpack_merger(self, content: bytes) -> list[Message]:
        """Return the messages of a merger, bound to this client so that their content can be fetched."""
        messages = unpack_merger(content)
        for message in messages:
            message.bind(self)
        return messages

    @property
    def message_verbs(self) -> NoReturn:
        """Raise InvalidArgument: this object owns the messages inside mergers, which have no row and no seq."""
        raise InvalidArgument("a message inside a merger cannot be changed; change the original message in its conversation")

    @property
    def conversations(self) -> NoReturn:
        """Raise InvalidArgument: the messages inside mergers belong to no conversation."""
        raise InvalidArgument("a message inside a merger has no conversation; use the one of the message with the merger")

    def bind_elems(self, elems: Sequence[Elem]) -> None:
        """Let these elems fetch their content through this client."""
        for elem in elems:
            if isinstance(elem, BoundElem):
                self.bind_elem(elem)

    async def persist(self, message: Message) -> None:
        """Write content that was given as bytes to disk. Raises StorageError, after removing files that were written."""
        if self._folder is None or not any(_content_in_memory(elem) for elem in message.elems):
            return
        files = self._files[message.msg_id] = []
        try:
            message.replace_elems([await self._persist_elem(elem, files) for elem in message.elems])
        except BaseException:
            await asyncio.shield(self.release(message))
            raise

    async def _persist_elem(self, elem: AnyElem, files: list[Path]) -> AnyElem:
        update: dict[str, object] = {}
        for data_field, path_field, data in _content_in_memory(elem):
            update[data_field] = None
            update[path_field] = await self._write_file(data, files)  # both names are one field for a video's snapshot
        return elem.model_copy(update=update) if update else elem

    async def _write_file(self, data: bytes, files: list[Path]) -> Path:
        assert self._folder is not None
        path = self._folder / uuid4().hex
        files.append(path)
        await _write(path, data)
        return path

    def is_persisted(self, message: Message) -> bool:
        """Return True while content of this message is on disk because the server may not have it."""
        return message.msg_id in self._files

    async def release(self, message: Message) -> None:
        """Remove a message's content from disk, after the server has the message or if it will never be sent."""
        for path in self._files.pop(message.msg_id, ()):
            await remove_file(path)

    async def remove_orphans(self, unsent: Iterable[Message]) -> None:
        """Remove files that no unsent message needs, which an earlier run left behind."""
        if self._folder is None:
            return
        needed: set[Path] = set()
        for message in unsent:
            self._files[message.msg_id] = [path for elem in message.elems for path in self._files_of(elem)]
            needed.update(self._files[message.msg_id])
        await _remove_others(self._folder, needed)

    def _files_of(self, elem: Elem) -> list[Path]:
        """Return the files of this folder that contain the elem's content."""
        paths = [getattr(elem, path_field) for path_field in elem.content_fields.values()]
        return [path for path in paths if isinstance(path, Path) and path.parent == self._folder]

    async def upload(self, message: Message, progress: Progress | None) -> None:
        """Upload content that is not uploaded yet, and replace the message's elems with elems that have its address.

        An upload is named after its message and its position in the message, so that an interrupted upload can be resumed,
        also by a later process.

        Raises:
            MediaError: The content cannot be read, or the server refuses it.
            NetworkError: The upload was interrupted; a later call resumes it.
        """
        sources = {at: upload_source(_source(elem)) for at, elem in enumerate(message.elems) if elem.needs_upload}
        if not sources:
            return
        meter = ProgressMeter(progress, await asyncio.gather(*(source.size() for source in sources.values())))
        elems = list(message.elems)
        for at, source in sources.items():
            elems[at] = self.bind_elem(await self._upload_elem(elems[at], source, f"{message.msg_id}/{at}", meter))
        message.replace_elems(elems)

    async def discard(self, message: Message) -> None:
        """Abort the unfinished uploads of a message that will never be sent."""
        for position, elem in enumerate(message.elems):
            if elem.content_fields and elem.needs_upload:
                await self._transfer.abort_upload(_source(elem), name=f"{message.msg_id}/{position}")

    async def _upload_elem(self, elem: AnyElem, source: UploadSource, name: str, meter: ProgressMeter) -> AnyElem:
        update: dict[str, object]
        match elem:
            case ImageElem():
                update = await self._upload_image(elem, source, name, meter)
            case ContentElem():
                update = await self._upload_content(elem, source, name, meter)
            case MergerElem():
                up = await self._transfer.upload(source, kind="file", name=name, progress=meter.next_part())
                media = nested_media_uuids(elem.content)
                update = {"uuid": up.uuid, "url": up.url, "size": up.size_bytes, "media": media, "content": b""}
            case _:
                return elem
        return elem.model_copy(update=update)

    async def _upload_content(
        self, elem: ContentElem, source: UploadSource, name: str, meter: ProgressMeter
    ) -> dict[str, object]:
        update: dict[str, object] = {}
        match elem:
            case SoundElem():
                update = {"duration": await checked_duration(source.content, elem.duration)}
            case VideoElem():
                update = {"duration": await checked_duration(source.content, elem.duration)}
                update |= await self._upload_snapshot(elem, name)
                suffix = elem.path.suffix.lstrip(".").lower() if elem.path else ""
                update["format"] = elem.format or suffix
            case _:
                pass
        up = await self._transfer.upload(source, kind=elem.content_kind, name=name, progress=meter.next_part())
        return {**update, **self._without_local_content(elem), "uuid": up.uuid, "url": up.url, "size": up.size_bytes}

    async def _upload_snapshot(self, elem: VideoElem, name: str) -> dict[str, object]:
        if elem.snapshot is None:
            return {}
        source = upload_source(elem.snapshot)
        await source.size()
        async with source.unchanged() as content:
            made = await image_variants(content)
        up = await self._transfer.upload(source, kind="image", name=f"{name}/snapshot")
        return {
            "snapshot": None,
            "snapshot_uuid": up.uuid,
            "snapshot_url": up.url,
            "snapshot_size": up.size_bytes,
            "snapshot_width": made.original.width,
            "snapshot_height": made.original.height,
            "snapshot_format": made.original.format.lower(),
        }

    def _without_local_content(self, elem: ContentElem | ImageElem) -> dict[str, object]:
        """Return the field update of an uploaded elem, which keeps only a path that the user gave."""
        is_own_file = elem.path in self._files_of(elem)
        return {"data": None, "path": None if is_own_file else elem.path}

    async def _upload_image(self, elem: ImageElem, source: UploadSource, name: str, meter: ProgressMeter) -> dict[str, object]:
        async with source.unchanged() as content:
            if elem.compression is not ImageCompression.ORIGINAL:
                content = await compressed_image(content, elem.compression)
            if elem.strip_location:
                content = await strip_location(content)
            made = await image_variants(content)
        if isinstance(content, bytes):
            source = BytesSource(content)
        images = await self._upload_variants(made, source, name, meter)
        original = images[ImageType.ORIGINAL]
        address = {"uuid": original.uuid, "size": original.size, "url": original.url}
        return {**self._without_local_content(elem), **address, "image_format": made.image_format, "images": images}

    async def _upload_variants(
        self, made: ImageVariants, source: UploadSource, name: str, meter: ProgressMeter
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
                up = await self._transfer.upload(BytesSource(variant.data), kind="image", name=f"{name}/{kind.value}")
            images[kind] = ImageVariant(
                type=kind, width=variant.width, height=variant.height, size=up.size_bytes, url=up.url, uuid=up.uuid
            )
        return images


class ProgressMeter:
    """The progress of one message over all its uploads, in order; the reported progress never decreases."""

    def __init__(self, progress: Progress | None, sizes: Sequence[int]) -> None:
        self._progress = progress
        self._left = list(sizes)
        self._total = sum(sizes)
        self._before = 0

    def next_part(self) -> Progress | None:
        """Return the progress callback for the next upload, in the order of `sizes`."""
        size, before = self._left.pop(0), self._before
        self._before += size
        progress, total = self._progress, self._total
        if progress is None:
            return None

        def report(done: int, of: int) -> None:  # `of` differs from `size` for a compressed image
            progress(before + done * size // of, total)

        return report


def _content_in_memory(elem: AnyElem) -> list[tuple[str, str, bytes]]:
    """Return the content that was given as bytes without a path: its field, the field for its path, and the bytes."""
    found: list[tuple[str, str, bytes]] = []
    for data_field, path_field in elem.content_fields.items():
        data = getattr(elem, data_field)
        if isinstance(data, bytes) and not isinstance(getattr(elem, path_field), Path):
            found.append((data_field, path_field, data))
    return found


async def _write(path: Path, data: bytes) -> None:
    """Write content to a new file and flush it to disk. Raises StorageError."""
    try:
        await asyncio.to_thread(private_folder, path.parent)
        async with open_for_writing(path, "xb", private=True) as writer:
            for at in range(0, len(data), PIECE_BYTES):
                await writer.write(memoryview(data)[at : at + PIECE_BYTES])
            await writer.sync()
    except OSError as exc:
        raise StorageError(f"cannot store the content in {path.parent}: {exc.strerror}") from exc


async def _remove_others(folder: Path, needed: set[Path]) -> None:
    if await aiofiles.os.path.exists(folder):
        for name in await aiofiles.os.listdir(folder):
            if folder / name not in needed:
                await remove_file(folder / name)


def has_content(elems: Iterable[AnyElem]) -> bool:
    """Return True if any of these elems has content besides its JSON."""
    for elem in elems:  # noqa: SIM110  a generator costs three times as much, once a message
        if elem.content_fields or elem.needs_upload:
            return True
    return False


def _source(elem: Elem) -> Path | bytes:
    """Return the local content of an elem. Raises FileMissing for bytes of an earlier run that were not stored."""
    content = elem.content if isinstance(elem, MergerElem) else elem.local_content
    if content is None:
        raise FileMissing("the content was given as bytes in an earlier run, which did not store it; send it again")
    return content

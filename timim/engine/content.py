"""Content of outgoing elems: uploaded before the message's frame leaves.

Content given by path goes out also after a restart; content given as bytes lives in this process only, and a message that
had it becomes FAILED (7004) when the process ended before its upload.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from ..elems import (
    AnyElem,
    FileElem,
    ImageElem,
    ImageType,
    ImageVariant,
    Progress,
    SoundElem,
    VideoElem,
)
from ..errors import FileMissing
from ..media import ImageVariants, Variant, image_variants
from ..message import Message
from ..net.transfer import Transfer

E = TypeVar("E", bound=AnyElem)


class Content:
    """Uploads before a send; binds received elems to where their content is."""

    def __init__(self, transfer: Transfer, folder: Path | None) -> None:
        self._transfer = transfer
        self._folder = folder

    def bind(self, elem: E) -> E:
        """Let the elem fetch its content through this client."""
        if isinstance(elem, ImageElem | SoundElem | FileElem | VideoElem):
            elem.bind(self._transfer)
        return elem

    async def prepare(self, message: Message, progress: Progress | None) -> None:
        """Upload what is not uploaded yet; the message's elems then say where it is. Raises MediaError, NetworkError."""
        if not any(_pending(elem) for elem in message.elems):
            return
        message._elems = tuple([self.bind(await self._uploaded(elem, progress)) for elem in message.elems])

    async def _uploaded(self, elem: AnyElem, progress: Progress | None) -> AnyElem:
        if not _pending(elem):
            return elem
        match elem:
            case ImageElem():
                return await self._image(elem, progress)
            case SoundElem():
                up = await self._transfer.upload(_source(elem), kind="sound", progress=progress)
            case FileElem():
                up = await self._transfer.upload(_source(elem), kind="file", progress=progress)
            case VideoElem():
                return await self._video(elem, progress)
            case _:
                return elem
        return elem.model_copy(update={"uuid": up.uuid, "url": up.url, "size": up.size_bytes, "data": None})

    async def _image(self, elem: ImageElem, progress: Progress | None) -> ImageElem:
        source = _source(elem)
        made = await image_variants(source)
        images = await self._upload_variants(made, source, progress)
        original = images[ImageType.ORIGINAL]
        update = {"uuid": original.uuid, "image_format": made.image_format, "images": images, "data": None}
        return elem.model_copy(update=update)

    async def _upload_variants(
        self, made: ImageVariants, source: Path | bytes, progress: Progress | None
    ) -> dict[ImageType, ImageVariant]:
        first = await self._transfer.upload(source, kind="image", progress=progress)
        images: dict[ImageType, ImageVariant] = {}
        kinds: tuple[tuple[ImageType, Variant], ...] = (
            (ImageType.ORIGINAL, made.original),
            (ImageType.LARGE, made.large),
            (ImageType.THUMB, made.thumb),
        )
        for kind, variant in kinds:
            up = first
            if variant.data is not None:
                up = await self._transfer.upload(variant.data, kind="image")
            images[kind] = ImageVariant(
                type=kind, width=variant.width, height=variant.height, size=up.size_bytes, url=up.url, uuid=up.uuid
            )
        return images

    async def _video(self, elem: VideoElem, progress: Progress | None) -> VideoElem:
        update: dict[str, object] = {"data": None, "snapshot": None}
        if elem.snapshot is not None:
            made = await image_variants(elem.snapshot)
            snap = await self._transfer.upload(elem.snapshot, kind="image")
            update |= {
                "snapshot_uuid": snap.uuid,
                "snapshot_url": snap.url,
                "snapshot_size": snap.size_bytes,
                "snapshot_width": made.original.width,
                "snapshot_height": made.original.height,
                "snapshot_format": made.original.format.lower(),
            }
        up = await self._transfer.upload(_source(elem), kind="video", progress=progress)
        suffix = elem.path.suffix.lstrip(".").lower() if elem.path else ""
        update |= {"uuid": up.uuid, "url": up.url, "size": up.size_bytes, "format": elem.format or suffix}
        return elem.model_copy(update=update)


def has_content(elems: Iterable[AnyElem]) -> bool:
    """Whether any of these has content besides its JSON."""
    return any(isinstance(elem, ImageElem | SoundElem | FileElem | VideoElem) for elem in elems)


def _pending(elem: AnyElem) -> bool:
    match elem:
        case ImageElem():
            return not elem.images
        case SoundElem() | FileElem() | VideoElem():
            return not elem.url
        case _:
            return False


def _source(elem: ImageElem | SoundElem | FileElem | VideoElem) -> Path | bytes:
    """Where the content is: the path wins. Raises FileMissing for bytes that an earlier run was given."""
    if elem.path is not None:
        return elem.path
    if elem.data is None:
        raise FileMissing("the content was given as bytes to an earlier run of this program, and is gone")
    return elem.data

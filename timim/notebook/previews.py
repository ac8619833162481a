"""Pictures, sounds and videos inside outputs. An output is made without waiting, so it shows content that is in memory.

Content is put into the output itself: showing an output loads nothing from anywhere, and a saved notebook keeps its pictures.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

from timim import (
    Conversation,
    Elem,
    ImageElem,
    ImageType,
    MediaError,
    MergedMessage,
    MergerElem,
    Message,
    Page,
    SearchResult,
    SoundElem,
    TimimError,
    VideoElem,
)

from ..media_tools.formats import read_file, sniff_mime_type
from ..protocol.merger import unpack_merger

__all__ = [
    "MERGER_DEPTH",
    "MESSAGES_IN_CONVERSATION",
    "MESSAGES_LIMIT",
    "PREVIEWS",
    "Previews",
    "Source",
    "content_kind",
    "load_all",
    "merged_messages",
    "sources_in",
    "sources_of",
]

log = logging.getLogger(__name__)

MESSAGES_LIMIT: Final = 50  # of a page, in one output
MESSAGES_IN_CONVERSATION: Final = 5
MERGER_DEPTH: Final = 3  # layers of mergers that unfold

PICTURE_BYTES: Final = 300_000  # a thumbnail has about 10 KB; pictures and stills over the limit are named only
SOUND_BYTES: Final = 1_000_000  # four minutes of speech
VIDEO_BYTES: Final = 3_000_000
MERGER_BYTES: Final = 2_000_000
MEMORY_BYTES: Final = 32_000_000  # of all content in memory
SOURCES_LIMIT: Final = 40  # in one output
AT_ONCE: Final = 4  # fetched at the same time
SECONDS: Final = 20.0  # for all content of an output
FAILURES: Final = 1000  # remembered
HEAD_BYTES: Final = 512  # for the detection of a format

_KINDS: Final = frozenset(
    "image/png image/jpeg image/gif image/webp image/bmp image/avif".split()
    + "audio/wav audio/mpeg audio/mp4 audio/aac audio/ogg audio/flac".split()
    + "video/mp4 video/quicktime video/webm".split()
)  # shown by browsers, and without scripts


@dataclass(frozen=True, slots=True)
class Source:
    """Content that an output can contain: a key that names it, its size if it is known, and the way to read it."""

    key: str
    size_bytes: int
    limit_bytes: int
    read: Callable[[], Awaitable[bytes | Sequence[MergedMessage]]]

    @property
    def fits(self) -> bool:
        """True if the content is small enough for an output."""
        return self.size_bytes <= self.limit_bytes


class Previews:
    """Content in memory by its key, at most MEMORY_BYTES, and the tasks that fetch it. The oldest content is removed first."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[int, bytes | Sequence[MergedMessage]]] = {}
        self._bytes = 0
        self._failures: dict[str, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def content(self, source: Source) -> bytes | None:
        """Return content, or None if it is not in memory."""
        held = self._held.get(source.key, (0, None))[1]
        return held if isinstance(held, bytes) else None

    def messages(self, source: Source) -> Sequence[MergedMessage]:
        """Return the messages of a merger, none if they are not in memory."""
        held = self._held.get(source.key, (0, b""))[1]
        return () if isinstance(held, bytes) else held

    def failure(self, source: Source) -> str:
        """Return the text of the error of the last attempt to fetch some content, or nothing."""
        return self._failures.get(source.key, "")

    def missing(self, sources: Sequence[Source]) -> list[Source]:
        """Return the sources whose content fits into an output, and is not in memory."""
        return [one for one in sources if one.fits and one.key not in self._held]

    async def load(self, sources: Sequence[Source]) -> None:
        """Fetch content, a few pieces at a time. An error is kept as the `failure` of its source."""
        turns = asyncio.Semaphore(AT_ONCE)
        missing = {source.key: source for source in self.missing(sources)}
        try:
            async with asyncio.timeout(SECONDS), asyncio.TaskGroup() as group:
                for source in missing.values():
                    group.create_task(self._load_one(source, turns))
        except TimeoutError:
            for source in self.missing(list(missing.values())):
                self._fail(source, f"not fetched within {SECONDS:.0f} s")

    def start(self, work: Coroutine[object, object, None]) -> None:
        """Run `work` in a task."""
        task = asyncio.create_task(work, name="timim previews")
        self._tasks.add(task)
        task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the content of an output could not be shown", exc_info=error)

    async def _load_one(self, source: Source, turns: asyncio.Semaphore) -> None:
        try:
            async with turns:
                content = await source.read()
        except TimimError as exc:
            self._fail(source, f"{type(exc).__name__}: {exc}")
            return
        size = len(content) if isinstance(content, bytes) else source.size_bytes
        if size > source.limit_bytes:
            self._fail(source, f"{size:,} bytes, too many for an output")
            return
        self._failures.pop(source.key, None)
        self._put(source.key, size, content)

    def _put(self, key: str, size: int, content: bytes | Sequence[MergedMessage]) -> None:
        self._bytes += size - self._held.pop(key, (0, b""))[0]
        self._held[key] = size, content
        while self._bytes > MEMORY_BYTES:
            self._bytes -= self._held.pop(next(iter(self._held)))[0]

    def _fail(self, source: Source, text: str) -> None:
        self._failures[source.key] = text
        if len(self._failures) > FAILURES:
            del self._failures[next(iter(self._failures))]


PREVIEWS: Final = Previews()
"""The previews of this process."""


async def load_all(*shown: object) -> None:
    """Fetch the content of objects that a notebook shows, mergers layer by layer."""
    for _ in range(MERGER_DEPTH):  # the content of a merger names further content
        await PREVIEWS.load(sources_in(*shown))


def sources_in(*shown: object) -> list[Source]:
    """Return the content of objects that a notebook shows, at most SOURCES_LIMIT pieces."""
    return list(islice((source for elem in _elems_in(shown, 0) for source in sources_of(elem)), SOURCES_LIMIT))


def _elems_in(shown: object, depth: int) -> Iterator[Elem]:
    match shown:
        case MergerElem():
            yield shown
            if depth < MERGER_DEPTH:
                yield from _elems_in([message.elems for message in merged_messages(shown)], depth + 1)
        case Elem():
            yield shown
        case Message():
            yield from _elems_in(shown.elems, depth)
        case Conversation():
            yield from _elems_in(shown.get_cached_messages(MESSAGES_IN_CONVERSATION), depth)
        case list() | tuple() | Page() | SearchResult():
            for one in shown[:MESSAGES_LIMIT]:
                yield from _elems_in(one, depth)
        case _:
            return


def sources_of(elem: Elem) -> Iterator[Source]:
    """Yield the content of an elem that an output can contain: a thumbnail, a sound, a video after its still picture."""
    match elem:
        case ImageElem() if elem.images:
            variant = elem.images.get(ImageType.THUMB) or next(iter(elem.images.values()))
            yield Source(f"uuid {variant.uuid}", variant.size, PICTURE_BYTES, variant.read)
        case ImageElem():
            yield from _own(elem, PICTURE_BYTES)
        case SoundElem() if elem.url:
            yield Source(f"uuid {elem.uuid}", elem.size, SOUND_BYTES, elem.read)
        case SoundElem():
            yield from _own(elem, SOUND_BYTES)
        case VideoElem() if elem.url:
            if elem.snapshot_url:
                yield Source(f"uuid {elem.snapshot_uuid}", elem.snapshot_size, PICTURE_BYTES, elem.read_snapshot)
            yield Source(f"uuid {elem.uuid}", elem.size, VIDEO_BYTES, elem.read)
        case MergerElem() if elem.url and not elem.content:
            yield Source(f"uuid {elem.uuid}", elem.size, MERGER_BYTES, elem.messages)
        case _:
            return


def merged_messages(elem: MergerElem) -> Sequence[MergedMessage]:
    """Return the messages of a merger that is in memory; none if its content is missing or malformed."""
    if not elem.content:
        return next((PREVIEWS.messages(source) for source in sources_of(elem)), ())
    reading = elem.messages()
    try:
        reading.send(None)  # it does not wait, because the content is there
    except StopIteration as done:
        found: Sequence[MergedMessage] = done.value
        return found
    except MediaError:
        return _unpacked(elem.content)  # of no client: a merger that was not sent yet
    except TimimError:
        return ()
    finally:
        reading.close()
    return ()


def content_kind(content: bytes) -> str:
    """Return the media type of content that browsers show without scripts; nothing for other content."""
    kind = sniff_mime_type(content[:HEAD_BYTES])
    return kind if kind in _KINDS else ""


def _unpacked(content: bytes) -> Sequence[MergedMessage]:
    try:
        return unpack_merger(content)
    except TimimError:
        return ()


def _own(elem: ImageElem | SoundElem, limit_bytes: int) -> Iterator[Source]:
    """Yield the content of an elem that was not uploaded yet."""
    match elem.local_content:
        case bytes() as data:
            yield Source(f"data {len(data)} {hash(data)}", len(data), limit_bytes, partial(_given, data))
        case Path() as path:
            yield Source(f"file {path}", 0, limit_bytes, partial(_read_file, path, limit_bytes))
        case _:
            return


async def _given(data: bytes) -> bytes:
    return data


async def _read_file(path: Path, limit_bytes: int) -> bytes:
    return await asyncio.to_thread(read_file, path, limit_bytes)

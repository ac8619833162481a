"""Tests of files that change while they are sent: the error says so, the log has no traceback, the server gets no content."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

import timim
from tests.support.media_proxy import proxied_server
from timim import FileElem, ImageElem, Message, MessageStatus, SoundElem, VideoElem
from timim.transport.upload_source import FileSource

pytestmark = pytest.mark.timeout(240)
MIB = 1 << 20


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"g" * 3 * MIB)


def shrink(path: Path) -> None:
    os.truncate(path, 2 * MIB)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def rewrite(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.write(b"x" * size)


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"other" * MIB)
    other.replace(path)


def delete(path: Path) -> None:
    path.unlink()


CHANGES = {
    "grew from": grow,
    "shrank from": shrink,
    "to 0 bytes": empty,
    "was written to": rewrite,
    "was replaced by another file": replace,
    "was deleted": delete,
}


def at_once(change: Callable[[Path], None], path: Path) -> None:
    """Change the file before the next byte is read; blockbuster forbids every other way to wait on the loop."""
    thread = threading.Thread(target=change, args=(path,))
    thread.start()
    while thread.is_alive():
        pass


def picture(size: int) -> bytes:
    out = BytesIO()
    Image.frombytes("RGB", (1024, size // 3072), os.urandom(size // 3072 * 3072)).save(out, "PNG", compress_level=0)
    return out.getvalue()


async def change_while_sending(folder: Path, kind: type[FileElem | SoundElem | VideoElem | ImageElem], words: str) -> None:
    path = folder / "file"
    path.write_bytes(picture(6 * MIB) if kind is ImageElem else os.urandom(6 * MIB))
    os.utime(path, (1, 1))  # the clock of a file system has ticks; a write in the tick of the creation has the same time
    pending = [CHANGES[words]]

    def progress(done: int, total: int) -> None:
        if pending and MIB <= done < total:
            at_once(pending.pop(), path)

    async with proxied_server(folder / "s") as (server, _):
        async with server.client("alice") as alice, server.client("bob"):
            message = Message(kind(path=path))
            with pytest.raises(timim.UploadFailed, match=f"{path} .*{words}.* while it was being sent; send it again"):
                await alice.c2c("bob").send(message, progress=progress)
            assert not pending
            assert message.status is MessageStatus.FAILED
            assert server.rows("media_blobs") == 0
            assert (await alice.c2c("bob").send("next")).status is MessageStatus.SUCCEEDED


@pytest.mark.parametrize("words", CHANGES)
async def test_a_file_that_changes_while_it_is_sent_fails_with_the_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, words: str
) -> None:
    await change_while_sending(tmp_path, FileElem, words)
    assert [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("kind", [ImageElem, SoundElem, VideoElem])
async def test_every_elem_with_content_says_that_its_file_changed(
    tmp_path: Path, kind: type[FileElem | SoundElem | VideoElem | ImageElem]
) -> None:
    await change_while_sending(tmp_path, kind, "grew from")


@pytest.mark.parametrize("words", ["was written to", "was deleted"])
async def test_a_client_that_does_not_look_at_the_file_again_is_detected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    async def look_away(self: FileSource) -> None:
        pass

    monkeypatch.setattr(FileSource, "check", look_away)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        await change_while_sending(tmp_path, FileElem, words)


@pytest.mark.parametrize("change", [delete, replace])
async def test_a_picture_that_changes_before_its_upload_is_not_mixed_with_its_variants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    path = tmp_path / "picture"
    path.write_bytes(picture(MIB))
    os.utime(path, (1, 1))
    size_of, changed = FileSource.size, list[int]()

    async def size_then_change(self: FileSource) -> int:
        size = await size_of(self)
        if not changed:
            changed.append(size)
            await asyncio.to_thread(change, path)
        return size

    monkeypatch.setattr(FileSource, "size", size_then_change)
    async with proxied_server(tmp_path / "s") as (server, _):
        async with server.client("alice") as alice, server.client("bob"):
            with pytest.raises(timim.UploadFailed, match="while it was being sent"):
                await alice.c2c("bob").send(ImageElem(path=path))
            assert server.rows("media_blobs") == 0

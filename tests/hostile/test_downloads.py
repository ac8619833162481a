"""A download stops at its announced size, inflates nothing, and leaves nothing; other answers have a limit."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import httpx2
import pytest

from timim import DownloadFailed, NetworkError, TimimError
from timim.transport import media_transfer
from timim.transport.media_transfer import MediaTransfer
from timim.transport.server_info import ServerInfo
from timim.transport.upload_source import upload_source

UUID = "0" * 32
GOOD = b"x" * 100
CHUNK = b"y" * 65_536
ENOUGH_BYTES = 32 * 1024 * 1024  # that the server sends if nobody stops it
SEND_BUFFER_BYTES = 64 * 1024  # of the server's sockets; the kernel's own choice depends on the machine
BUFFERED_BYTES = 8 * 1024 * 1024  # that the sockets of both sides may hold
TAG = hashlib.sha256(GOOD).hexdigest()


def head(*lines: str, status: str = "200 OK") -> bytes:
    return "\r\n".join((f"HTTP/1.1 {status}", f'ETag: "{TAG}"', *lines, "", "")).encode()


CHUNKED = head("Transfer-Encoding: chunked")
PIECE = b"%x\r\n%b\r\n" % (len(CHUNK), CHUNK)
GZIP = zlib.compressobj(wbits=31)
BOMB = GZIP.compress(bytes(ENOUGH_BYTES)) + GZIP.flush()


class HostileServer:
    """A web server that answers each request with `begin`, and then with `piece` until ENOUGH_BYTES are sent.

    Attributes:
        info: The address of the server, as a login tells it.
        sent_bytes: Number of bytes that the sockets have taken.
        requested: The heads of all requests.
    """

    def __init__(self) -> None:
        self.begin = b""
        self.piece = b""
        self.info = ServerInfo(token="token")
        self.sent_bytes = 0
        self.requested: list[bytes] = []
        self._answers: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def close(self) -> None:
        """End the answers that clients have left."""
        for writer in self._answers.values():
            writer.transport.abort()
        await asyncio.gather(*self._answers, return_exceptions=True)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._answers[task] = writer
        try:
            await self._answer(reader, writer)
        finally:
            del self._answers[task]
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            self.requested.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(self.begin)
            while self.piece and self.sent_bytes < ENOUGH_BYTES:
                writer.write(self.piece)
                await writer.drain()
                self.sent_bytes += len(self.piece)
            await writer.drain()
            writer.write_eof()
            await reader.read()


@asynccontextmanager
async def hostile_server() -> AsyncIterator[tuple[HostileServer, MediaTransfer]]:
    hostile = HostileServer()
    plain = socket.create_server(("127.0.0.1", 0))
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)  # which its connections inherit
    async with await asyncio.start_server(hostile.answer, sock=plain) as listener:
        hostile.info.media_url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/media"
        transfer = MediaTransfer(hostile.info, timeout_s=5)
        try:
            yield hostile, transfer
        finally:
            await transfer.aclose()
            await hostile.close()


ANSWERS = {
    "chunks without end": (CHUNKED, PIECE),
    "more bytes than announced": (head(f"Content-Length: {10**12}"), CHUNK),
    "a body without a length": (head("Connection: close"), CHUNK),
    "a gzip bomb": (head("Content-Encoding: gzip", f"Content-Length: {len(BOMB)}") + BOMB, b""),
    "an unknown coding": (head("Content-Encoding: x\x7f", f"Content-Length: {len(GOOD)}") + GOOD, b""),
    "a length that is no number": (head("Content-Length: many"), b""),
    "a length out of range": (head(f"Content-Length: {10**30}"), CHUNK),
}


async def check_download(answer: tuple[bytes, bytes], folder: Path, size: int) -> None:
    """Check that a download of content of an announced size fails soon, and leaves no file."""
    async with hostile_server() as (hostile, transfer):
        hostile.begin, hostile.piece = answer
        with pytest.raises((DownloadFailed, NetworkError)):
            await transfer.read(UUID, "", size, None)
        with pytest.raises((DownloadFailed, NetworkError)):
            await transfer.download(UUID, "", size, folder / "file", None)
        assert await asyncio.to_thread(os.listdir, folder) == []
        assert hostile.requested
        assert hostile.sent_bytes < BUFFERED_BYTES


@pytest.fixture(autouse=True)
def few_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media_transfer, "MAX_TRIES", 1)


@pytest.mark.requirement("H39")
@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_download_stops_at_its_announced_size(answer: str, tmp_path: Path) -> None:
    await check_download(ANSWERS[answer], tmp_path, len(GOOD))


@pytest.mark.requirement("H39")
async def test_a_download_of_unknown_size_stops_at_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media_transfer, "UNKNOWN_LIMIT_BYTES", 1000)
    await check_download(ANSWERS["chunks without end"], tmp_path, 0)


@pytest.mark.requirement("H39")
async def test_a_client_that_compares_the_size_at_the_end_is_detected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mutant: it reads what comes."""
    receive = media_transfer._Download.receive

    async def receive_all(self: media_transfer._Download, tag: str, total: int, chunk: bytes) -> None:
        self._size_bytes, size = 1 << 60, self._size_bytes
        await receive(self, tag, total, chunk)
        self._size_bytes = size

    monkeypatch.setattr(media_transfer._Download, "receive", receive_all)
    with pytest.raises(AssertionError):
        await check_download(ANSWERS["chunks without end"], tmp_path, len(GOOD))


@pytest.mark.requirement("H39")
async def test_a_good_answer_is_read_and_no_compression_is_asked_for(tmp_path: Path) -> None:
    async with hostile_server() as (hostile, transfer):
        hostile.begin = head(f"Content-Length: {len(GOOD)}", "Connection: close") + GOOD
        assert await transfer.read(UUID, "", len(GOOD), None) == GOOD
        assert b"accept-encoding: identity" in hostile.requested[0].lower()


CALLS: dict[str, Callable[[MediaTransfer], object]] = {
    "a signed URL": lambda transfer: transfer.signed_url(UUID, ""),
    "an upload": lambda transfer: transfer.upload(upload_source(GOOD), kind="file", name="n"),
}


@pytest.mark.requirement("H39")
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("status", ["200 OK", "403 Forbidden", "503 Service Unavailable"])
async def test_every_other_answer_has_a_limit(call: str, status: str) -> None:
    async with hostile_server() as (hostile, transfer):
        hostile.begin, hostile.piece = CHUNKED.replace(b"200 OK", status.encode()), PIECE
        with pytest.raises(TimimError):
            await CALLS[call](transfer)  # type: ignore[misc]
        assert hostile.requested
        assert hostile.sent_bytes < BUFFERED_BYTES


async def check_redirects(folder: Path) -> None:
    """Check that no redirect is followed: neither to another server nor to a file, by no call."""
    (secret := folder / "secret").write_bytes(GOOD)
    (got := folder / "got").mkdir()
    async with hostile_server() as (elsewhere, _), hostile_server() as (hostile, transfer):
        elsewhere.begin = head(f"Content-Length: {len(GOOD)}", "Connection: close") + GOOD
        for target in (elsewhere.info.media_url, secret.as_uri(), "//127.0.0.1:1/x"):
            for status in (
                "301 Moved Permanently",
                "302 Found",
                "303 See Other",
                "307 Temporary Redirect",
                "308 Permanent Redirect",
            ):
                hostile.begin = head(f"Location: {target}", "Content-Length: 0", "Connection: close", status=status)
                calls = (
                    lambda: transfer.read(UUID, "", len(GOOD), None),
                    lambda: transfer.download(UUID, "", len(GOOD), got / "file", None),
                    lambda: transfer.signed_url(UUID, ""),
                )
                for call in calls:
                    with pytest.raises(TimimError):
                        await call()
        assert hostile.requested
        assert elsewhere.requested == []
        assert await asyncio.to_thread(os.listdir, got) == []


@pytest.mark.requirement("H40")
async def test_no_redirect_is_followed(tmp_path: Path) -> None:
    await check_redirects(tmp_path)


@pytest.mark.requirement("H40")
async def test_a_client_that_follows_redirects_is_detected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpx2, "AsyncClient", partial(httpx2.AsyncClient, follow_redirects=True))
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        await check_redirects(tmp_path)

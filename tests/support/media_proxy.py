"""A TCP proxy between a client and the media endpoint: it counts the transferred bytes, and resets connections on demand."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

from tests.support.raw_database import query_database
from timim.testing import RunningServer
from timim.util.failpoints import Failpoint

Direction = Literal["up", "down"]
CHUNK_BYTES = 64 * 1024
WAIT_S = 90  # for a busy machine


class MediaProxy:
    """A TCP proxy. `cuts` are totals of bytes per direction; the connection that reaches one of them is reset."""

    def __init__(self) -> None:
        self.passed: dict[Direction, int] = {"up": 0, "down": 0}
        self.cuts: dict[Direction, list[int]] = {"up": [], "down": []}
        self.happened = 0
        self.most = 0  # maximum of connections that carried bytes at the same time
        self.corrupt_at: dict[Direction, int] = {}
        self.port_of_server = 0
        self._changed = asyncio.Condition()
        self._listener: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self._gate = asyncio.Event()
        self._gate.set()

    @property
    def url(self) -> str:
        assert self._listener is not None
        return f"http://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"

    async def start(self) -> None:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)

    async def stop(self) -> None:
        assert self._listener is not None
        self._listener.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self._listener.wait_closed()

    def hold(self) -> None:
        """Pass no bytes until `release()`."""
        self._gate.clear()

    def release(self) -> None:
        self._gate.set()

    async def carried(self, direction: Direction, size: int, *, timeout: float = 90) -> None:
        """Wait until this many bytes have passed."""
        async with asyncio.timeout(timeout), self._changed:
            await self._changed.wait_for(lambda: self.passed[direction] >= size)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            server = await asyncio.open_connection("127.0.0.1", self.port_of_server)
        except OSError:
            writer.transport.abort()
            self._open.discard(task)
            return
        self.most = max(self.most, len(self._open))
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass("up", reader, server[1]))
                both.create_task(self._pass("down", server[0], writer))
        except* (OSError, EOFError):
            pass
        finally:
            writer.transport.abort()
            server[1].transport.abort()
            self._open.discard(task)

    async def _pass(self, direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            await self._gate.wait()
            cuts = self.cuts[direction]
            cut = bool(cuts) and self.passed[direction] + len(chunk) >= cuts[0]
            if cut:
                chunk = chunk[: max(0, cuts.pop(0) - self.passed[direction])]
            bad = self.corrupt_at.get(direction, 1 << 60) - self.passed[direction]
            if 0 <= bad < len(chunk):
                chunk = chunk[:bad] + bytes([chunk[bad] ^ 1]) + chunk[bad + 1 :]
                del self.corrupt_at[direction]
            writer.write(chunk)
            await writer.drain()
            async with self._changed:
                self.passed[direction] += len(chunk)
                self._changed.notify_all()
            if cut:
                self.happened += 1
                raise EOFError
        raise EOFError


class ProxiedServer(RunningServer):
    """A server whose media traffic goes through a proxy, also after a restart."""

    def __init__(self, folder: Path, relay: MediaProxy, settings: Mapping[str, object]) -> None:
        super().__init__(folder, {"public_url": relay.url, **settings})
        self.relay = relay

    async def start(self, *, crash_at: Failpoint | None = None, count: int = 1) -> None:
        await super().start(crash_at=crash_at, count=count)
        self.relay.port_of_server = self._port

    def rows(self, table: str) -> int:
        ((count,),) = query_database(self.folder, f"SELECT count(*) FROM {table}")
        return int(count)

    def stored_bytes(self) -> int:
        """Return the bytes in the server's media folder, while the server may be removing files and folders."""
        count = 0
        for folder, _, names in os.walk(self.folder / "media"):  # skips folders that were removed meanwhile
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    count += (Path(folder) / name).stat().st_size
        return count

    async def until(self, holds: Callable[[], bool], what: str) -> None:
        """Poll until a condition is true. For effects of another process, which cannot be awaited."""
        async with asyncio.timeout(WAIT_S):
            while not await asyncio.to_thread(holds):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert holds(), what


@asynccontextmanager
async def proxied_server(
    folder: Path, settings: Mapping[str, object] | None = None, *, program: tuple[str, ...] = ()
) -> AsyncIterator[tuple[ProxiedServer, MediaProxy]]:
    """Start a real server and the proxy in front of its media endpoint."""
    relay = MediaProxy()
    await relay.start()
    server = ProxiedServer(folder, relay, settings or {})
    if program:
        server.program = program
    try:
        await server.start()
        yield server, relay
    finally:
        with contextlib.suppress(Exception):
            await server.faults.stop()
        await server.stop()
        await relay.stop()

"""Upload and download of a 100 MB file, beside a plain asyncio HTTP copy: `python bench/media.py [rounds] [MB]`.

The copy shows the speed of the same machine without timim: a server on asyncio streams that writes a body to a file and syncs
it, or sends a file; no hash, no parts, no database. Both servers are separate processes, runs are interleaved, and medians are
compared.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from timim import Conversation, FileElem
from timim.testing import running_server

CHUNK_BYTES = 256 * 1024
MB = 1_000_000


async def bare_server(folder: Path) -> None:
    """Run the HTTP server: PUT writes the body to `folder`/copy and syncs it; GET sends the file."""
    path = folder / "copy"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        if head.startswith("PUT"):
            left = int(head.lower().split("content-length:")[1].split()[0])
            with path.open("wb") as file:
                while left:
                    chunk = await reader.read(min(left, CHUNK_BYTES))
                    left -= len(chunk)
                    await asyncio.to_thread(file.write, chunk)
                file.flush()
                await asyncio.to_thread(os.fsync, file.fileno())
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % path.stat().st_size)
            with path.open("rb") as file:
                while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
                    writer.write(chunk)
                    await writer.drain()
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2 * CHUNK_BYTES)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def bare_up(port: int, path: Path) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with path.open("rb") as file:
        writer.write(b"PUT / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % os.fstat(file.fileno()).st_size)
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
    await reader.readuntil(b"\r\n\r\n")
    writer.close()


async def bare_down(port: int, path: Path) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2 * CHUNK_BYTES)
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    with path.open("wb") as file:
        while chunk := await reader.read(CHUNK_BYTES):
            await asyncio.to_thread(file.write, chunk)
    writer.close()


class Peak:
    """Peak memory of this process and another one above their initial memory, sampled every 5 ms."""

    def __init__(self, pid: int) -> None:
        self._processes = psutil.Process(pid), psutil.Process()
        self._first = [process.memory_info().rss for process in self._processes]
        self.most = [0, 0]

    async def watch(self) -> None:
        while True:
            for i, process in enumerate(self._processes):
                self.most[i] = max(self.most[i], process.memory_info().rss - self._first[i])
            await asyncio.sleep(0.005)


class Round:
    """Measure one file in both directions, with timim and with plain HTTP."""

    def __init__(self, folder: Path, port: int, conversation: Conversation, size: int) -> None:
        self._folder = folder
        self._port = port
        self._conversation = conversation
        self._sent: FileElem | None = None
        (folder / "big").write_bytes(os.urandom(size))

    async def bare_up(self) -> None:
        await bare_up(self._port, self._folder / "big")

    async def timim_up(self) -> None:
        message = await self._conversation.send(FileElem(path=self._folder / "big"))
        assert isinstance(message[0], FileElem)
        self._sent = message[0]

    async def bare_down(self) -> None:
        await bare_down(self._port, self._folder / "down")

    async def timim_down(self) -> None:
        assert self._sent is not None
        await self._sent.download(self._folder / "down")

    def check(self) -> None:
        """Check that the last download equals the upload."""
        if (self._folder / "down").read_bytes() != (self._folder / "big").read_bytes():
            raise RuntimeError("the downloaded file differs from the uploaded one")


async def measure(folder: Path, port: int, rounds: int, size: int) -> tuple[dict[str, list[float]], list[list[int]]]:
    took: dict[str, list[float]] = {}
    grown: list[list[int]] = []
    async with running_server(data_dir=folder / "s") as server:
        async with server.client("alice", data_dir=folder / "a") as alice, server.client("bob"):
            for n in range(rounds + 1):
                one = await asyncio.to_thread(Round, folder, port, alice.c2c("bob"), size)
                peak = Peak(server.pid)
                watching = asyncio.create_task(peak.watch())
                for step in (one.bare_up, one.timim_up, one.bare_down, one.timim_down):
                    begun = time.perf_counter()
                    await step()
                    if n:  # the first round is a warm-up
                        took.setdefault(step.__name__, []).append(time.perf_counter() - begun)
                watching.cancel()
                if n:
                    grown.append(peak.most)
                await asyncio.to_thread(one.check)
    return took, grown


async def main(rounds: int = 5, megabytes: int = 100) -> None:
    size = megabytes * MB
    with tempfile.TemporaryDirectory(prefix="timim-bench-", dir=os.environ.get("BENCH_DIR")) as name:
        bare = await asyncio.create_subprocess_exec(sys.executable, __file__, "--bare", name, stdout=asyncio.subprocess.PIPE)
        assert bare.stdout is not None
        try:
            took, grown = await measure(Path(name), int(await bare.stdout.readline()), rounds, size)
        finally:
            bare.kill()
            await bare.wait()
    print("| MB/s, medians | bare copy | timim | timim / bare |", "|---|---|---|---|", sep="\n")
    for way in ("up", "down"):
        copy, ours = (size / MB / statistics.median(took[f"{who}_{way}"]) for who in ("bare", "timim"))
        print(f"| {way} | {copy:,.0f} | {ours:,.0f} | {ours / copy:.2f} |")
    print(
        f"\nmemory, at the most: server +{max(g[0] for g in grown) / MB:.0f} MB, client +{max(g[1] for g in grown) / MB:.0f} MB"
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--bare"]:
        asyncio.run(bare_server(Path(sys.argv[2])))
    else:
        asyncio.run(main(*map(int, sys.argv[1:3])))

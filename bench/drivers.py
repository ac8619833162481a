"""The interface of a benchmark driver, which starts one server on loopback and creates client sessions for it.

The measured product runs unchanged. A conversation is named by the return value of `peer()` or `make_group()`, which has no
meaning for the scenarios.
"""

from __future__ import annotations

import asyncio
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import ClassVar

import psutil

START_LIMIT_S = 30


class Session(ABC):
    """A device of one user."""

    user: str

    @abstractmethod
    def on_receive(self, heard: Callable[[str], None]) -> None:
        """Call `heard(text)` for each received message, once the device has stored the message as the product promises."""

    @abstractmethod
    def peer(self, user: str) -> str: ...

    @abstractmethod
    async def send(self, conversation: str, text: str) -> None:
        """Send a message and wait for the server's ack."""

    @abstractmethod
    def history(self, conversation: str, page: int) -> AsyncIterator[list[str]]:
        """Yield pages of texts, newest first, back to the beginning."""

    @abstractmethod
    async def conversations(self) -> int:
        """Return the number of listed conversations, each with its last message."""

    @abstractmethod
    async def close(self) -> None: ...


class Driver(ABC):
    """A driver of one product. `workdir` is an empty folder on a real disk, and is deleted afterwards."""

    durability = ""
    cannot: ClassVar[dict[str, str]] = {}
    scale = 1.0
    inflight = 64

    def __init__(self, workdir: str) -> None:
        self.dir = Path(workdir)
        self._server: asyncio.subprocess.Process | None = None

    @abstractmethod
    async def start(self) -> None: ...

    @abstractmethod
    async def make_user(self, name: str) -> None: ...

    @abstractmethod
    async def login(self, name: str) -> Session: ...

    @abstractmethod
    async def make_group(self, owner: Session, members: Sequence[Session]) -> str: ...

    @abstractmethod
    async def seed_conversations(self, user: str, n: int) -> None:
        """Create `n` conversations of one message each."""

    async def spawn(self, *arguments: str, environment: dict[str, str] | None = None) -> str:
        """Start the server and return the first line that it prints."""
        self._server = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, stdout=asyncio.subprocess.PIPE, env=environment
        )
        assert self._server.stdout is not None
        async with asyncio.timeout(START_LIMIT_S):
            return (await self._server.stdout.readline()).decode().strip()

    async def stop(self) -> None:
        if self._server is not None and self._server.returncode is None:
            self._server.kill()
            await self._server.wait()

    def server_cpu(self) -> float:
        assert self._server is not None
        times = psutil.Process(self._server.pid).cpu_times()
        return float(times.user + times.system)

    def server_rss(self) -> int:
        assert self._server is not None
        return int(psutil.Process(self._server.pid).memory_info().rss)

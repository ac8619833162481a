"""What a bench driver does: starts one server on loopback, and makes client sessions to it.

What is measured runs in it unchanged.
A conversation is named by what `peer()` or `make_group()` returns; it means nothing to the scenarios.
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
        """`heard(text)` for each message that arrives, once the device has it as it promises its user."""

    @abstractmethod
    def peer(self, user: str) -> str: ...

    @abstractmethod
    async def send(self, conversation: str, text: str) -> None:
        """Until the server has said that it has the message."""

    @abstractmethod
    def history(self, conversation: str, page: int) -> AsyncIterator[list[str]]:
        """Pages of texts, the newest first, to the beginning."""

    @abstractmethod
    async def conversations(self) -> int:
        """Return the number of listed conversations, each with its last message."""

    @abstractmethod
    async def close(self) -> None: ...


class Driver(ABC):
    """`workdir` is empty, on a real disk, and goes afterwards."""

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
        """`n` conversations of one message each."""

    async def spawn(self, *arguments: str, environment: dict[str, str] | None = None) -> str:
        """Start the server; the first line that it prints."""
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

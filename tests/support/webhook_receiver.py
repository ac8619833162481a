"""An operator's back end for tests: a real HTTP server that records its requests and gives the configured answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

OK = b'{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":""}'


@dataclass(frozen=True, slots=True)
class Call:
    target: str
    headers: dict[str, str]
    content: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.target).query, keep_blank_values=True).items()}

    @property
    def body(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.content)
        return told


Answer = Callable[[Call], Awaitable[bytes]]


async def agree(call: Call) -> bytes:
    return reply(OK)


def reply(body: bytes, *, status: str = "200 OK", headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


@dataclass(slots=True)
class WebhookReceiver:
    url: str = ""
    calls: list[Call] = field(default_factory=list)
    answer: Answer = agree
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def until(self, matches: Callable[[list[Call]], bool], *, timeout: float = 30.0) -> None:
        """Wait until the recorded requests match."""
        async with asyncio.timeout(timeout), self._news:
            await self._news.wait_for(lambda: matches(self.calls))

    def of(self, command: str) -> list[Call]:
        return [call for call in self.calls if call.query["CallbackCommand"] == command]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                headers: dict[str, str] = {}
                while (header := await reader.readline()).strip():
                    name, _, value = header.decode().partition(":")
                    headers[name.lower()] = value.strip()
                content = await reader.readexactly(int(headers.get("content-length", 0)))
                call = Call(line.decode().split()[1], headers, content)
                async with self._news:
                    self.calls.append(call)
                    self._news.notify_all()
                if not (said := await self.answer(call)):
                    break
                writer.write(said)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def webhook_receiver() -> AsyncIterator[WebhookReceiver]:
    receiver = WebhookReceiver()
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(receiver._serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    try:
        yield receiver
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

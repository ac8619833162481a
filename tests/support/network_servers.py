"""Servers between a client and its timim server: an HTTP proxy, a SOCKS5 proxy, and a TLS terminator."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class ProxyServer:
    """A running proxy.

    Attributes:
        port: The port on the loopback address.
        targets: The "host:port" of each connection, in order.
        credentials: The "user:password" that the proxy demands; empty for none.
    """

    port: int = 0
    targets: list[str] = field(default_factory=list)
    credentials: str = ""


@asynccontextmanager
async def http_proxy(credentials: str = "") -> AsyncIterator[ProxyServer]:
    """Start an HTTP proxy that supports CONNECT and plain requests."""
    proxy = ProxyServer(credentials=credentials)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        fields = dict(line.split(": ", 1) for line in head[1:] if line)
        given = {name.lower(): value for name, value in fields.items()}.get("proxy-authorization")
        expected = f"Basic {base64.b64encode(credentials.encode()).decode()}"
        if credentials and given != expected:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        if method == "CONNECT":
            proxy.targets.append(target)
            await _relay(reader, writer, target, greeting=b"HTTP/1.1 200 OK\r\n\r\n")
            return
        url = urlsplit(target)
        proxy.targets.append(url.netloc)
        kept = [
            f"{name}: {value}" for name, value in fields.items() if name.lower() not in ("connection", "proxy-authorization")
        ]
        path = f"{url.path}?{url.query}" if url.query else url.path
        first = "\r\n".join([f"{method} {path} HTTP/1.1", *kept, "Connection: close", "", ""])
        await _relay(reader, writer, url.netloc, first=first.encode("latin-1"))

    async with _listening(serve) as proxy.port:
        yield proxy


@asynccontextmanager
async def socks_proxy() -> AsyncIterator[ProxyServer]:
    """Start a SOCKS5 proxy without authentication (RFC 1928)."""
    proxy = ProxyServer()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, methods = await reader.readexactly(2)
        await reader.readexactly(methods)
        writer.write(b"\x05\x00")
        kind = (await reader.readexactly(4))[3]
        if kind == 1:
            host = socket.inet_ntoa(await reader.readexactly(4))
        else:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        target = f"{host}:{int.from_bytes(await reader.readexactly(2))}"
        proxy.targets.append(target)
        await _relay(reader, writer, target, greeting=b"\x05\x00\x00\x01" + bytes(6))

    async with _listening(serve) as proxy.port:
        yield proxy


@dataclass
class TlsTerminator:
    """A TLS server on `port` that passes the decrypted bytes to `target` ("host:port")."""

    port: int = 0
    target: str = ""


@asynccontextmanager
async def tls_terminator(context: ssl.SSLContext) -> AsyncIterator[TlsTerminator]:
    """Start a TLS terminator, whose target the test sets."""
    terminator = TlsTerminator()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _relay(reader, writer, terminator.target)

    async with _listening(serve, context) as terminator.port:
        yield terminator


@asynccontextmanager
async def other_server(answer: bytes) -> AsyncIterator[int]:
    """Start a server that sends these bytes when a request has arrived, and closes the connection; yield its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    async with _listening(serve) as port:
        yield port


@asynccontextmanager
async def _listening(handler: Handler, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Call the handler for each connection to a free port, and end all connections at the end."""
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            await handler(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client or the server has closed its connection, or the test has ended
        finally:
            connections.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections)


async def _relay(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: str, *, greeting: bytes = b"", first: bytes = b""
) -> None:
    """Connect to the target, answer the client with `greeting`, send `first`, and pass bytes until one side closes."""
    host, _, port = target.rpartition(":")
    server_reader, server_writer = await asyncio.open_connection("127.0.0.1" if host.endswith(".test") else host, int(port))
    writer.write(greeting)
    server_writer.write(first)
    upward = asyncio.create_task(_copy(reader, server_writer))
    try:
        await _copy(server_reader, writer)
    finally:
        upward.cancel()
        await asyncio.gather(upward, return_exceptions=True)
        server_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()

"""A peer that breaks the rules of HTTP and websockets: it sends without an end, drips, or reads nothing."""

from __future__ import annotations

import asyncio
import select
import socket
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Protocol
from urllib.parse import urlsplit

import psutil

from timim.protocol import session
from timim.protocol.frames import Head, encode_frame
from timim.testing import RunningServer
from timim.usersig import sign_user

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
BINARY, CLOSE, PING, CONTINUATION, FINAL = 0x2, 0x8, 0x9, 0x0, 0x80


def frame(first: int, payload: bytes = b"") -> bytes:
    """Return a masked websocket frame, whose mask is zero."""
    size = len(payload)
    if size < 126:
        return bytes((first, 0x80 | size)) + bytes(4) + payload
    return bytes((first, 0xFE)) + size.to_bytes(2, "big") + bytes(4) + payload


class Address(Protocol):
    """A server whose address is known."""

    url: str


class Peer:
    """A TCP connection to a server, on which nothing is read unless the test says so."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._connection, data)

    async def receive(self) -> bytes:
        """Return the next bytes; none if the server has closed or cut the connection."""
        try:
            return await self._loop.sock_recv(self._connection, 65536)
        except ConnectionError:
            return b""

    async def upgrade(self) -> None:
        """Open a websocket."""
        await self.send(UPGRADE)
        head = b""
        while b"\r\n\r\n" not in head:
            more = await self.receive()
            if not more:
                raise ConnectionResetError("the server cut the connection")
            head += more

    async def login(self, server: RunningServer, user: str) -> None:
        """Open a websocket and log in, as a client that is not timim's."""
        await self.upgrade()
        await self.request(Head(session.LOGIN.name, seq=1, identifier=user, usersig=signature(server, user)), b"{}")
        assert b'"ErrorCode":0' in await self.receive()

    async def request(self, head: Head, body: bytes) -> None:
        await self.send(frame(FINAL | BINARY, encode_frame(head, body)))

    async def ask(self, command: str, body: bytes, seq: int) -> None:
        await self.request(Head(command, seq=seq), body)

    async def flood(self, chunk: bytes, size: int) -> bool:
        """Send `size` bytes, and return True if the server took all of them, False if it cut the connection."""
        try:
            for _ in range(size // len(chunk)):
                await self.send(chunk)
        except ConnectionError:
            return False
        return True

    def is_cut(self) -> bool:
        """Return True if the server has reset the connection. Nothing is read."""
        watcher = select.poll()
        watcher.register(self._connection, 0)  # errors and hang-ups are always reported
        return bool(watcher.poll(0))

    async def was_cut(self, *, within_s: float) -> bool:
        return await holds_soon(self.is_cut, within_s=within_s)

    async def ended(self, *, within_s: float) -> bool:
        """Read until the server ends the connection; False if it has not within this time."""
        try:
            async with asyncio.timeout(within_s):
                while await self.receive():
                    pass
        except TimeoutError:
            return False
        return True


@asynccontextmanager
async def peers(server: Address, count: int = 1, *, receive_buffer: int = 0) -> AsyncIterator[list[Peer]]:
    """Connect to the server itself, not to its fault proxy."""
    address = urlsplit(server.url)
    connections = list[socket.socket]()
    try:
        for _ in range(count):
            connections.append(connection := socket.socket())
            if receive_buffer:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            connection.setblocking(False)
            with suppress(ConnectionResetError):  # the server may cut it before this side knows of its connection
                await asyncio.get_running_loop().sock_connect(connection, (address.hostname, address.port))
        yield [Peer(connection) for connection in connections]
    finally:
        for connection in connections:
            connection.close()


def signature(server: RunningServer, user: str) -> str:
    return sign_user(server.app_id, server.secret_key, user, now=server.clock.now())


async def holds_soon(*conditions: object, within_s: float) -> bool:
    """Return True once all conditions (functions) are true, or False after `within_s`."""
    until = time.monotonic() + within_s
    while not all(condition() for condition in conditions if callable(condition)):
        if time.monotonic() > until:
            return False
        await asyncio.sleep(0.01)
    return True


def memory(server: RunningServer) -> int:
    """Return the resident memory of the server, in bytes."""
    return int(psutil.Process(server.pid).memory_info().rss)


async def honest_login(server: RunningServer, user: str = "honest") -> float:
    """Log a client in and out, and return the time of its login in seconds."""
    begun = time.perf_counter()
    async with server.client(user):
        return time.perf_counter() - begun


def cut(connections: Iterable[Peer]) -> int:
    """Return the number of connections that the server has cut."""
    return sum(peer.is_cut() for peer in connections)

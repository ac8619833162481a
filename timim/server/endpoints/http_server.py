"""The HTTP server of the endpoints: uvicorn, which the server starts and stops."""

from __future__ import annotations

import asyncio
import socket as sockets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from email.utils import formatdate
from functools import lru_cache
from typing import cast

import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...errors import StorageError, TimimError
from ..metrics import Metrics
from ..settings import Settings
from .guarded_listener import GuardedListener
from .peer_protocols import PeerHttpProtocol, PeerWebSocketProtocol
from .peer_transport import PeerGuard, PeerTransport
from .tls import HANDSHAKE_S, ServerTls

__all__ = ["HttpServer", "PortInUse", "listen"]

ACCEPTED_A_TURN = 4  # connections that are accepted before the others have their turn
KEEP_ALIVE_S = 5.0  # for the first byte of the next request


class PortInUse(TimimError):
    """The address is in use by another program, or cannot be used; choose another `host` or `port`."""


class HttpServer(uvicorn.Server):
    """Uvicorn server with protocols that bound each connection, which leaves the signals of the process to its caller."""

    def __init__(self, settings: Settings, routes: Sequence[BaseRoute], metrics: Metrics, tls: ServerTls | None = None) -> None:
        self._guard = PeerGuard(settings, metrics)
        self._tls = tls
        super().__init__(
            uvicorn.Config(
                _dated(Starlette(routes=routes)),
                ws=PeerWebSocketProtocol,
                ws_max_size=settings.max_frame_bytes,
                ws_per_message_deflate=False,
                ws_ping_interval=None,  # the protocol has its own heartbeat
                lifespan="off",
                access_log=False,  # an access log would contain signed query strings
                log_config=None,
                timeout_keep_alive=cast("int", min(KEEP_ALIVE_S, settings.request_head_s or KEEP_ALIVE_S)),
                date_header=False,  # `_dated` adds it
                proxy_headers=False,  # `PeerHttpProtocol` reads them, before it counts connections
            )
        )
        self.servers: list[asyncio.Server] = []
        self._serving: list[asyncio.Task[None]] = []
        self._stopped = asyncio.Event()

    async def startup(self, sockets: list[sockets.socket] | None = None) -> None:
        """Listen, with a time limit for TLS handshakes."""
        await self.lifespan.startup()
        for plain in sockets or []:
            listener = GuardedListener(plain, self._guard)
            server = await asyncio.get_running_loop().create_server(
                self._create_protocol,
                sock=listener,
                ssl=self._tls.context if self._tls else None,
                ssl_handshake_timeout=HANDSHAKE_S if self._tls else None,
                ssl_shutdown_timeout=self._guard.settings.close_s if self._tls else None,
                backlog=ACCEPTED_A_TURN,  # asyncio has one number for both
            )
            listener.listen(self.config.backlog)
            self.servers.append(server)
        self.started = True

    def _create_protocol(self) -> PeerHttpProtocol:
        return PeerHttpProtocol(self.config, self.server_state, self.lifespan.state, self._guard)

    async def main_loop(self) -> None:
        """Wait for `stop`; the loop of uvicorn wakes ten times a second, also when nothing happens."""
        await self.on_tick(0)
        await self._stopped.wait()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture no signals, because the CLI handles them."""
        yield

    async def start(self, listener: sockets.socket) -> None:
        """Serve on a listening socket.

        Raises:
            StorageError: The server ended while starting.
        """
        serving = asyncio.create_task(self.serve([listener]), name="timim server")
        self._serving.append(serving)
        while not self.started:
            if serving.done():
                serving.result()
                raise StorageError("the HTTP server ended while starting; see its log for the reason")
            await asyncio.sleep(0.005)

    def refuse(self) -> None:
        """Refuse new connections, so that their clients connect to another node."""
        for listener in self.servers:
            listener.close()

    async def stop(self, limit_s: float) -> None:
        """Stop serving, and cut the connections that have not ended within `limit_s`, which is at least 1 s."""
        self.config.timeout_graceful_shutdown = max(1, int(limit_s))
        self.should_exit = True
        self._stopped.set()
        await asyncio.gather(*self._serving, return_exceptions=True)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        self._guard.stop()


def _dated(app: ASGIApp) -> ASGIApp:
    """Return an application whose HTTP responses have the header `date`; their heads and first bytes are one write."""

    async def dated(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        peer: PeerTransport = scope["state"]["peer"]

        async def send_dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"date", _date_at(int(time.time())))]
                peer.join_writes()
                await send(message)
            else:
                await send(message)
                peer.write_joined()

        await app(scope, receive, send_dated)

    return dated


@lru_cache(maxsize=1)
def _date_at(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode()


def listen(host: str, port: int) -> sockets.socket:
    """Return a listening socket.

    Raises:
        PortInUse: The address cannot be used.
    """
    family = sockets.AF_INET6 if ":" in host else sockets.AF_INET
    # asyncio disables Nagle's algorithm only if the protocol is explicitly TCP; otherwise a reply that follows a push waits
    # 40 ms for the delayed ack of the other end
    listener = sockets.socket(family, sockets.SOCK_STREAM, sockets.IPPROTO_TCP)
    listener.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as exc:
        listener.close()
        raise PortInUse(f"cannot listen on {host}:{port}: {exc.strerror}; choose another host or port") from exc
    listener.setblocking(False)
    return listener

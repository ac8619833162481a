"""Uvicorn's protocols of HTTP and websockets, with the bounds that they lack.

A request's head, requests sent ahead, fragments and control frames are counted, so that bytes without an end reach a limit.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import Frame

from ..settings import Settings
from .frame_buffer import FrameBuffer
from .peer_transport import PeerGuard, PeerTransport
from .trusted_proxies import read_proxy_header, scheme_of

__all__ = ["PeerHttpProtocol", "PeerWebSocketProtocol"]

PIPELINED_REQUESTS = 8  # requests that a client may send before the first one is answered
CHUNK_OVERHEAD = 8  # framing bytes of a chunked body allowed for each of its bytes
QUEUED_MESSAGES = 4096  # small websocket messages that arrive in one read
INVALID_DATA, POLICY, TOO_BIG, RESTART = 1007, 1008, 1009, 1012
_REFUSAL = b"HTTP/1.1 %s\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
HEAD_TOO_LARGE = b"431 Request Header Fields Too Large"
TOO_MANY = b"429 Too Many Requests"


class PeerHttpProtocol(HttpToolsProtocol):
    """HTTP protocol of one connection, until it becomes a websocket."""

    transport: PeerTransport

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        guard: PeerGuard,
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, dict(app_state), _loop)
        self._guard = guard
        self._settings: Settings = guard.settings
        self._head_bytes: int | None = 0  # of the head that arrives; None while a body arrives
        self._field_bytes = 0
        self._framing_bytes = 0  # of a chunked body

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        peer = PeerTransport(transport, self._guard)
        self.app_state["peer"] = peer
        self.app_state["guard"] = self._guard
        super().connection_made(peer)
        self._address = self.client[0] if self.client else ""
        self._is_proxied = self._address in self._guard.proxies
        self._proxy_header = b"" if self._is_proxied and self._settings.proxy_protocol else None
        peer.expect_request(self._settings.request_head_s)
        if not self._is_proxied:
            peer.admit(self._address)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport.lost()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._proxy_header is not None:
            data = self._read_proxy_header(data)
        if self.transport.is_closing() or not data:
            return
        if self._head_bytes is not None:
            self._head_bytes += len(data)
        else:
            self._framing_bytes += len(data)
        super().data_received(data)
        limit = self._settings.max_request_head_bytes
        if (self._head_bytes is not None and self._head_bytes > limit) or self._framing_bytes > limit + len(data):
            self._refuse(HEAD_TOO_LARGE)

    def on_message_begin(self) -> None:
        self._field_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count_field(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_field(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self.transport.is_closing():
            return
        self._head_bytes = None
        self._framing_bytes = 0
        self.transport.expect_nothing()
        if not self._admit_client():
            return
        if len(self.pipeline) >= PIPELINED_REQUESTS:
            self._refuse(TOO_MANY)
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self.transport.is_closing():
            self._framing_bytes = max(0, self._framing_bytes - (1 + CHUNK_OVERHEAD) * len(body))
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._head_bytes, self._framing_bytes = 0, 0
        if not self.transport.is_closing():
            super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.pipeline and self._settings.request_head_s:
            # also for the rest of a body that nobody reads
            self.transport.expect_request(self.timeout_keep_alive + self._settings.request_head_s)

    def resume_writing(self) -> None:
        self.transport.recount()
        super().resume_writing()

    def _admit_client(self) -> bool:
        """Count the connection for the client that a trusted proxy names, and return False if the client has too many."""
        if self._is_proxied:
            named = self._guard.proxies.client_of(self.headers)
            if named:
                self._guard.note_proxy()
            host = named or self._address
            if not self.transport.admit_client((host, 0)):
                return False
            self.scope["client"] = (host, 0)
            if scheme := scheme_of(self.headers):
                self.transport.is_secure = scheme == "https"
                self.scope["scheme"] = scheme
        return True

    def _read_proxy_header(self, data: bytes) -> bytes:
        """Take the PROXY header from the beginning of a connection, and return the bytes that follow."""
        assert self._proxy_header is not None
        self._proxy_header += data
        try:
            header = read_proxy_header(self._proxy_header)
        except ValueError as exc:
            self.transport.cut(f"it is a trusted proxy, but {exc}", "slow request")
            return b""
        if header is None:
            return b""
        rest, self._proxy_header = self._proxy_header[header.size :], None
        if header.client is not None:
            self._is_proxied = False
            if self.transport.admit_client(header.client):
                self.client = header.client
        return rest

    def _count_field(self, size: int) -> None:
        self._field_bytes += size
        if self._field_bytes > self._settings.max_request_head_bytes:
            self._refuse(HEAD_TOO_LARGE)

    def _refuse(self, status: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.note_violation(status.decode())
            self.transport.write(_REFUSAL % status)
            self.transport.close()


class PeerWebSocketProtocol(WebSocketsSansIOProtocol):
    """Websocket protocol of one connection."""

    __slots__ = ("_counted_at", "_empty_frames", "_frames", "_next_turn", "_settings")  # the dict of uvicorn's class is full

    transport: PeerTransport

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        guard: PeerGuard = app_state["guard"]
        self._settings: Settings = guard.settings
        self.close_timeout = self._settings.close_s
        self.conn.debug = False  # at DEBUG the library logs the beginning and the end of each frame, and so messages
        self._frames = FrameBuffer()
        self._frames.attach(self.conn)
        self._next_turn: asyncio.Handle | None = None
        self._empty_frames = 0.0  # frames without content, less what the rate allows
        self._counted_at = self.loop.time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.scheme = "wss" if self.transport.is_secure else "ws"

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport.lost()
        self._frames.buffer.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._frames.begin_turn()
        super().data_received(data)
        if self._frames.is_over and self._next_turn is None:  # other connections have their turn first
            self.transport.hold_reading()
            self._next_turn = self.loop.call_soon(self._take_turn)

    def _take_turn(self) -> None:
        self._next_turn = None
        if self.transport.is_closing():
            return
        self.data_received(b"")
        if self._next_turn is None:
            self.transport.release_reading()

    def shutdown(self) -> None:
        """Close the websocket when the server stops, and wait for the peer's answer, for `close_s` at most.

        A connection that is closed while bytes of its peer are unread is reset. A peer that writes at that moment would lose
        the code and the reason of the close.
        """
        if self.close_timer is None and self.handshake_complete and not self.close_sent and not self.transport.is_closing():
            self.queue.put_nowait({"type": "websocket.disconnect", "code": RESTART})
            self.conn.send_close(RESTART)
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
            if self.read_paused:
                self.read_paused = False
                self.transport.resume_reading()
            self.close_timer = self.loop.call_later(self.close_timeout, self.transport.close)
        elif self.close_timer is None:
            super().shutdown()

    def handle_cont(self, event: Frame) -> None:
        if len(event.data) < 16 and not event.fin:
            self._count_empty_frame()
        if len(self.frames) >= self._settings.fragments_per_message > 0:
            self._fail(TOO_BIG, f"a message has more than {self._settings.fragments_per_message} fragments")
        else:
            super().handle_cont(event)

    def handle_ping(self) -> None:
        super().handle_ping()
        self._count_empty_frame()

    def handle_pong(self, event: Frame) -> None:
        super().handle_pong(event)
        self._count_empty_frame()

    def send_receive_event_to_app(self) -> None:
        if self.queue.qsize() > QUEUED_MESSAGES:
            self._fail(POLICY, f"more than {QUEUED_MESSAGES} messages wait; send them in fewer frames")
        elif self.curr_msg_data_type == "text" and not _is_utf8(self.frames):
            self._fail(INVALID_DATA, "a text message is not UTF-8")  # uvicorn would log a traceback
        else:
            super().send_receive_event_to_app()

    def resume_writing(self) -> None:
        self.transport.recount()
        super().resume_writing()

    def _count_empty_frame(self) -> None:
        """Count a frame that brings no part of a message, and close a connection that sends too many of them."""
        limit = self._settings.control_frames_per_s
        if not limit:
            return
        now = self.loop.time()
        self._empty_frames = max(0.0, self._empty_frames - (now - self._counted_at) * limit) + 1
        self._counted_at = now
        if self._empty_frames > limit * 10:
            self._fail(POLICY, f"more than {limit:g} control frames a second")

    def _fail(self, code: int, reason: str) -> None:
        """Close the websocket with a reason, and read nothing more."""
        if self.close_sent or self.transport.is_closing():
            return
        self.transport.note_violation(reason)
        self.conn.fail(code, reason)
        if self.conn.close_sent is None:  # before the websocket is open
            self.transport.abort()
        else:
            self.handle_parser_exception()


def _is_utf8(parts: list[bytes]) -> bool:
    try:
        b"".join(parts).decode()
    except UnicodeDecodeError:
        return False
    return True

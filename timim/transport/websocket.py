"""One websocket, from its opening to its end. Queued requests are written together, in order.

A request ends with its reply, at its deadline, or with the websocket. Exceptions of the websockets library are converted to
ConnectionFailed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from typing import Any, TypeVar

from websockets.asyncio.client import ClientConnection, connect
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidProxyStatus, InvalidStatus, InvalidURI, ProxyError

from ..errors import ConnectionFailed, InvalidArgument, RateLimited, TimimError
from ..protocol.codec import Body, Command, Reply, Request, decode_reply, encode
from ..protocol.frames import JOINED_BYTES, PUSH, Frame, Head, decode_frames, encode_frame, join_in_batches
from ..protocol.messages import SENDS
from ..protocol.pacing import is_rate_limit, pause_s
from ..protocol.pending_requests import OnResult, PendingRequests
from ..protocol.session import RESUME_SENDS
from ..util.tasks import gather_cancelling
from .link_end import connection_error
from .network import DIRECT, NetworkOptions, shown_address, tls_cause, tls_reason
from .pushes import PushReceiver

B = TypeVar("B", bound=Body)
R = TypeVar("R", bound=Reply)

MAX_FRAME_BYTES = 8 * 1024 * 1024  # enough for a page of 200 messages of the maximum size
PACED_ATTEMPTS = 20
CLOSE_TIMEOUT_S = 2.0  # a server that does not answer keeps neither a logout nor the next connection waiting
_random = random.Random()
_library_log = logging.getLogger("timim.websockets")
if _library_log.level == logging.NOTSET:
    _library_log.setLevel(logging.WARNING)  # at DEBUG the library logs frames, which contain credentials and messages


class _QuietConnection(ClientConnection):
    """Connection that logs no frames at any level, because frames contain credentials and messages."""

    def __init__(self, protocol: ClientProtocol, **options: Any) -> None:
        protocol.debug = False
        super().__init__(protocol, **options)


class Link:
    """An open websocket. `run()` reads and writes until the websocket ends; pushes go to the `PushReceiver`."""

    def __init__(self, socket: ClientConnection, pushes: PushReceiver) -> None:
        self._socket = socket
        self._pushes = pushes
        self._calls = PendingRequests()
        self._requested = asyncio.Event()  # a request waits for its reply
        self._out: list[bytes] = []
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._ended: TimimError | None = None
        self.head: Head = Head("")
        self.frames_received: int = 0
        self.batch = False  # the server accepts several frames in one websocket message
        self.paces = False  # wait and try again if the server refuses a request by a rate limit
        self.limit_bytes = 0  # of a websocket message; 0 if the server did not state a limit

    @classmethod
    async def open(cls, url: str, pushes: PushReceiver, *, timeout_s: float, network: NetworkOptions = DIRECT) -> Link:
        """Connect to `url`.

        Raises:
            InvalidArgument: `url` is not a ws:// or wss:// URL, or the proxy in the environment is not valid.
            ConnectionFailed: The server or the proxy cannot be reached, or did not answer within `timeout_s` seconds.
        """
        proxy = network.proxy_for(url)
        where = shown_address(url) + (f" through {shown_address(proxy)}" if proxy else "")
        try:
            async with asyncio.timeout(timeout_s):
                socket = await connect(
                    url,
                    compression=None,
                    max_size=MAX_FRAME_BYTES,
                    ping_interval=None,
                    close_timeout=CLOSE_TIMEOUT_S,
                    proxy=proxy,
                    ssl=(network.tls or True) if url.startswith("wss://") else None,
                    user_agent_header=None,
                    logger=_library_log,
                    create_connection=_QuietConnection,
                )
        except InvalidURI as exc:
            raise InvalidArgument(f"not a websocket URL: {where}") from exc
        except TimeoutError as exc:
            raise ConnectionFailed(f"{where} did not respond within {timeout_s:g} s") from exc
        except (OSError, InvalidHandshake, EOFError) as exc:
            raise ConnectionFailed(f"cannot connect to {where}: {_reason(exc, secure=url.startswith('wss://'))}") from exc
        return cls(socket, pushes)

    async def call(self, command: Command[B, R], body: B, *, timeout_s: float) -> R:
        """Send a command with its body and return the reply; see `send`."""
        return await self.send(command.request(body), timeout_s=timeout_s)

    async def send(self, request: Request[R], *, timeout_s: float) -> R:
        """Send a request and return its reply.

        A request that a rate limit of the account refused is sent again after a pause, up to PACED_ATTEMPTS times.
        After a cancellation, the server may still execute the request.

        Raises:
            ServerRefused: The server refused the request; the subclass shows the reason.
            RequestTimeout: No reply was received within `timeout_s` seconds.
            ConnectionFailed: The websocket ended before the reply was received.
            InvalidArgument: The request cannot be encoded, is longer than the server accepts, or too many requests wait.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._send(request, timeout_s=timeout_s)
            except RateLimited as exc:
                if not (self.paces and is_rate_limit(exc)) or attempt == PACED_ATTEMPTS:
                    raise
                wait_s = pause_s(exc, _random)
                self._pushes.on_rate_limited(exc, wait_s)
            await asyncio.sleep(wait_s)
            if request.name in SENDS:
                self.start(RESUME_SENDS.request(Body()), lambda _: None, timeout_s=timeout_s)

    async def _send(self, request: Request[R], *, timeout_s: float) -> R:
        future: asyncio.Future[Frame] = self._loop.create_future()

        def on_reply(outcome: Frame | TimimError) -> None:
            if future.done():
                return
            if isinstance(outcome, Frame):
                future.set_result(outcome)
            else:
                future.set_exception(outcome)

        seq = self.start(request, on_reply, timeout_s=timeout_s)
        try:
            return decode_reply(request.reply, (await future).body)
        except asyncio.CancelledError:
            self._calls.forget(seq)
            raise

    def start(self, request: Request[Reply], on_reply: OnResult, *, timeout_s: float) -> int:
        """Queue a request after all earlier ones; return its number.

        `on_reply` is called once, with the frame of the reply or with the error that ended the wait. A request that this
        method refuses uses no number, and `on_reply` is not called.

        Raises:
            ConnectionFailed: The websocket has ended.
            InvalidArgument: The request cannot be encoded, is longer than the server accepts, or too many requests wait.
        """
        if self._ended is not None:
            raise self._ended
        head = self.head
        head.servcmd, head.seq = request.name, self._calls.next_seq
        try:
            frame = encode_frame(head, encode(request.body))
        except (TypeError, ValueError, RecursionError) as exc:
            raise InvalidArgument(f"the request {request.name} cannot be encoded: {exc}") from exc
        if len(frame) > self.limit_bytes > 0:
            raise InvalidArgument(
                f"the request {request.name} is {len(frame)} bytes long; the server accepts {self.limit_bytes}: "
                "give it fewer or shorter values"
            )
        seq = self._calls.register(request.name, on_reply, deadline=self._loop.time() + timeout_s)
        self._requested.set()
        self._out.append(frame)
        self._wake.set()
        return seq

    async def run(self) -> None:
        """Read and write until the websocket ends, which raises ConnectionFailed or ProtocolError."""
        try:
            await gather_cancelling(self._read(), self._write(), self._expire())
        except TimimError as exc:
            self._end(exc)
            raise
        finally:
            self._end(ConnectionFailed("the connection was closed"))

    def cut(self) -> None:
        """Abort the socket without notifying the server, as a lost network does; `run()` then ends."""
        self._socket.transport.abort()

    async def close(self) -> None:
        """Close the socket; `run()` then ends."""
        await self._socket.close()

    async def _read(self) -> None:
        try:
            while True:
                message = await self._socket.recv(decode=False)
                frames = decode_frames(message)
                self.frames_received += len(frames)
                for frame in frames:
                    if frame.head.servcmd == PUSH:
                        self._pushes.receive(frame)
                    else:
                        self._calls.resolve(frame)
        except ConnectionClosed as exc:
            raise connection_error(exc, limit_bytes=MAX_FRAME_BYTES) from exc

    async def _write(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                out, self._out = self._out, []
                limit_bytes = self.limit_bytes or JOINED_BYTES
                for message in join_in_batches(out, limit_bytes=limit_bytes) if self.batch else out:
                    await self._socket.send(message)
        except ConnectionClosed as exc:
            raise connection_error(exc, limit_bytes=MAX_FRAME_BYTES) from exc

    async def _expire(self) -> None:
        while True:
            if self._calls.expire(self._loop.time()) is None:
                self._requested.clear()
                await self._requested.wait()
            await asyncio.sleep(0.5)  # deadlines are several seconds, so half a second more does not matter

    def _end(self, error: TimimError) -> None:
        if self._ended is None:
            self._ended = error
            self._calls.close(error)


def _reason(exc: Exception, *, secure: bool) -> str:
    """Return the reason for a failed connection, without the address, which asyncio repeats."""
    if (failure := tls_cause(exc)) is not None:
        return tls_reason(failure)
    match exc:
        case InvalidStatus():
            return f"the server answered with HTTP {exc.response.status_code}; check the URL"
        case InvalidProxyStatus():
            return f"the proxy answered with HTTP {exc.response.status_code}"
        case ProxyError():
            return "the proxy failed to connect"
        case InvalidHandshake() | EOFError():
            certificate = ", or give the client certificate that the server requires with ssl=" if secure else ""
            return f"the server does not speak the websocket protocol; check the URL{certificate}"
        case _:
            number = getattr(exc, "errno", None)
            return os.strerror(number) if number and number > 0 else str(exc)

"""Transports of the server's connections, with bounds of memory and time that uvicorn does not have.

`PeerTransport` stands between a socket and uvicorn's protocols. It counts the bytes that the peer has not accepted, and
`PeerGuard` cuts a connection that breaks a deadline: a request that does not arrive, a peer that reads too slowly, a close that
does not end. A deadline moves only when a least number of bytes was transferred, never because of a single byte.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import socket as sockets
import struct
import termios
from collections import Counter
from math import inf
from typing import Any

from ...util.rare_log import RareLog
from ..metrics import Metrics
from ..sessions.waiting_bytes import WaitingBytes
from ..settings import Settings
from .exposure import PROXY_WITHOUT_PUBLIC_URL
from .held_transport import HeldTransport
from .new_connections import NewConnections, subnet_of
from .trusted_proxies import TrustedProxies

log = logging.getLogger("timim.server")
RECOUNT_BYTES = 256 * 1024  # written since the last exact count; counting costs a walk over the buffer
TICKS = 8  # checks of a connection in the shortest time limit
LONGEST_TICK_S = 0.5


class PeerGuard:
    """Limits of all connections: their number and rate by address, and their deadlines.

    Its timer runs only while a deadline does.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.settings = settings
        self.waiting = WaitingBytes(
            connection_limit=settings.connection_waiting_bytes,
            stranger_limit=settings.stranger_waiting_bytes,
            total_limit=settings.total_waiting_bytes,
        )
        metrics.waiting_bytes.set_function(lambda: self.waiting.total)
        self.proxies = TrustedProxies(settings.trusted_proxies)
        self._cuts = metrics.cut_connections
        self._loop = asyncio.get_running_loop()
        shortest = min(limit for limit in (settings.least_rate_s, settings.request_head_s, settings.close_s, 1e9) if limit > 0)
        self._tick_s = min(LONGEST_TICK_S, shortest / TICKS)
        self._proxy_noted = False
        self._watched: set[PeerTransport] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._of_address: Counter[str] = Counter()
        self._new = NewConnections(settings.new_connections_per_s, settings.violation_pause_s, now=self.now)
        self.log = RareLog(log, every_s=10.0)  # a flood of connections must not become a flood of lines

    def now(self) -> float:
        return self._loop.time()

    def watch(self, peer: PeerTransport) -> None:
        """Check the deadlines of a connection from now on, until it has none."""
        self._watched.add(peer)
        if self._timer is None:
            self._timer = self._loop.call_later(self._tick_s, self._check)

    def forget(self, peer: PeerTransport) -> None:
        self._watched.discard(peer)

    def stop(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
        self._watched.clear()

    def admit(self, host: str, *, is_new: bool = True) -> bool:
        """Count a connection of an address, and return False if the address or its subnet has too many or is paused.

        Args:
            host: The address.
            is_new: The connection was made now, and not taken over from another client of the same proxy.
        """
        if is_new and self.refuses(host):
            return False
        settings, subnet = self.settings, subnet_of(host)
        for name, limit in ((host, settings.connections_per_address), (subnet, settings.connections_per_subnet)):
            if 0 < limit <= self._of_address[name]:
                self.count_cut("crowded")
                hint = "if it is a proxy, name it in trusted_proxies"
                self.log.write(logging.WARNING, name, f"{name} has {limit} connections, which is the limit; {hint}")
                return False
        self._of_address[host] += 1
        self._of_address[subnet] += 1
        if is_new:
            self._new.count(host)
        return True

    def refuses(self, host: str) -> bool:
        """Return True if new connections of an address come too often, or it pauses after a violation."""
        reason = self._new.refusal(host)
        if reason == "rate":
            text = f"{host} makes more than {self.settings.new_connections_per_s:g} new connections a second; they are cut"
            self.log.write(logging.WARNING, f"rate {host}", text)
        if reason:
            self.count_cut(reason)
        return bool(reason)

    def refuses_socket(self, host: str) -> bool:
        """Return True if a socket of this address is refused: a trusted proxy, which has many clients, never is."""
        return host not in self.proxies and self.refuses(host)

    def note_violation(self, host: str, reason: str) -> None:
        """Count a connection that broke a limit, and refuse new ones of its address for a time."""
        self.count_cut("violation")
        if host and host not in self.proxies and (pause_s := self._new.pause(host)):
            text = f"a connection of {host} broke a limit: {reason}. New connections of it are cut for {pause_s:g} s"
            self.log.write(logging.WARNING, f"violation {host}", text)

    def release(self, host: str) -> None:
        """End the count of a connection that was admitted."""
        for name in (host, subnet_of(host)):
            self._of_address[name] -= 1
            if not self._of_address[name]:
                del self._of_address[name]

    def note_proxy(self) -> None:
        """Warn once if a proxy forwards to a server that does not know the address of the proxy."""
        if not (self.settings.public_url or self._proxy_noted):
            self._proxy_noted = True
            log.warning("%s", PROXY_WITHOUT_PUBLIC_URL)

    def count_cut(self, reason: str) -> None:
        """Count a connection that was cut; `reason` is one of a closed set."""
        self._cuts.labels(reason).inc()

    def _check(self) -> None:
        now = self.now()
        self._watched = {peer for peer in self._watched if peer.check(now)}
        self.waiting.shed(peer.bytes for peer in self._watched if peer.unsent)
        self._timer = self._loop.call_later(self._tick_s, self._check) if self._watched else None


class PeerTransport(HeldTransport):
    """Transport of one connection, which counts the bytes that its peer has not accepted and keeps its deadlines.

    Attributes:
        bytes: Count of all bytes that wait for this peer.
        unsent: Number of bytes that the socket has not accepted; too high by what it accepted since the last count.
        host: Address of the client, which a trusted proxy names for its connections; empty until it is known.
        is_secure: The client uses TLS, to this server or to a trusted proxy.
    """

    def __init__(self, transport: asyncio.Transport, guard: PeerGuard) -> None:
        super().__init__(transport)
        self._socket_transport = _socket_transport(transport)
        self._guard = guard
        self.bytes = guard.waiting.open(self._abort)
        self.unsent = 0
        self.host = ""
        self.is_secure = bool(transport.get_extra_info("sslcontext"))
        self._client = ("", 0)
        self._joined: list[bytes] | None = None  # writes that wait for the next ones
        self._written = 0
        self._uncounted = 0
        self._window_end = inf
        self._window_goal = 0  # number of bytes that the peer has to take by the end of the window
        self._request_by = inf
        self._closed_by = inf
        self._lost = False

    def admit(self, host: str) -> bool:
        """Count the connection for the address of its client; a connection over the limit is cut."""
        if host == self.host:
            return True
        is_new = not self.host
        if not is_new:  # a proxy sends the request of another client
            self._guard.release(self.host)
            self.host = ""
        if not self._guard.admit(host, is_new=is_new):
            self.bytes.close()
            self._reset()
            return False
        self.host = host
        return True

    def admit_client(self, client: tuple[str, int]) -> bool:
        """Count the connection for a client that a trusted proxy names."""
        self._client = client
        return self.admit(client[0])

    def expect_request(self, limit_s: float) -> None:
        """Cut the connection unless the head of a request arrives within `limit_s`; 0 sets no limit."""
        if limit_s:
            self._request_by = self._guard.now() + limit_s
            self._guard.watch(self)

    def expect_nothing(self) -> None:
        """Note that the head of a request has arrived."""
        self._request_by = inf

    def join_writes(self) -> None:
        """Let the next writes wait for `write_joined` or the close: the peer gets them at once, by one call of the kernel."""
        if self._joined is None:
            self._joined = []

    def write_joined(self) -> None:
        """Write what waits."""
        joined, self._joined = self._joined, None
        if joined:
            self.write(b"".join(joined))

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._joined is not None:
            self._joined.append(bytes(data))
            return
        self._transport.write(data)
        size = len(data)
        self._written += size
        if self.unsent:
            self._uncounted += size
            self.unsent += size
            self.bytes.add(size)
            if self._uncounted > RECOUNT_BYTES:
                self.recount()
        elif pending := self._pending():
            self.unsent = pending
            self.bytes.add(pending)
            self._begin_window(self._guard.now())
            self._guard.watch(self)

    def close(self) -> None:
        """Close the connection once the peer has taken all bytes; it is cut if the peer does not within `close_s`."""
        if not self._lost and self._closed_by == inf:
            self._closed_by = self._guard.now() + self._guard.settings.close_s
            self._guard.watch(self)
        self.write_joined()
        self._transport.close()

    def cut(self, reason: str, label: str) -> None:
        """Cut the connection at TCP level, and discard what waits for its peer."""
        self.bytes.close()
        self._abort(reason, label)

    def note_violation(self, reason: str) -> None:
        """Note that the peer broke a limit, and is told so: the caller closes the connection."""
        self._guard.note_violation(self.host, reason)

    def lost(self) -> None:
        """Note the end of the connection."""
        self._lost = True
        self.unsent = 0
        self.bytes.close()
        self._guard.forget(self)
        if self.host:
            self._guard.release(self.host)
            self.host = ""

    def check(self, now: float) -> bool:
        """Cut the connection if a deadline is over, and return True if it has a deadline still."""
        if self._lost:
            return False
        settings = self._guard.settings
        if now >= self._request_by:
            self.cut("its request did not arrive in time", "slow request")
        elif now >= self._closed_by:
            self.cut(f"it did not end within {settings.close_s:g} s of its close", "slow close")
        elif self.unsent and self.recount():
            if self._taken() >= self._window_goal:
                self._begin_window(now)
            elif now >= self._window_end:
                limit = f"{settings.least_bytes_per_s} bytes a second in {settings.least_rate_s:g} s"
                self.cut(f"its peer reads less than {limit}", "slow reader")
        return not self.bytes.closed and min(self._request_by, self._closed_by, self.unsent or inf) < inf

    def recount(self) -> int:
        """Count the unsent bytes exactly, and return their number."""
        pending = self._pending()
        self.bytes.add(pending - self.unsent)
        self.unsent, self._uncounted = pending, 0
        return pending

    def _begin_window(self, now: float) -> None:
        settings = self._guard.settings
        if settings.least_bytes_per_s and settings.least_rate_s:
            self._window_end = now + settings.least_rate_s
            self._window_goal = self._taken() + int(settings.least_bytes_per_s * settings.least_rate_s)

    def _pending(self) -> int:
        """Return the exact number of bytes that the socket has not accepted."""
        pending = self._transport.get_write_buffer_size()
        if self._socket_transport is not self._transport:
            pending += self._socket_transport.get_write_buffer_size()
        return pending

    def _taken(self) -> int:
        """Return the number of bytes that the peer's machine has acknowledged."""
        return self._written - self._pending() - _unacknowledged(self._socket_transport)

    def _abort(self, reason: str, label: str = "waiting bytes") -> None:
        self._guard.count_cut(label)
        self._guard.log.write(logging.INFO, label, f"cut a connection of {self.host or 'an unknown address'}: {reason}")
        self._reset()

    def _reset(self) -> None:
        try:
            reset_when_closed(self._transport.get_extra_info("socket"))
        except (OSError, AttributeError):
            pass  # the socket is closed already
        self._transport.abort()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if self._client[0] and name in ("socket", "peername"):  # uvicorn asks the socket first
            return self._client if name == "peername" else default
        return self._transport.get_extra_info(name, default)

    def abort(self) -> None:
        self.bytes.close()
        self._transport.abort()


def _socket_transport(transport: asyncio.Transport) -> asyncio.Transport:
    """Return the transport of the socket, which is another one for TLS: both have a buffer."""
    inner = getattr(getattr(transport, "_ssl_protocol", None), "_transport", None)
    return inner if isinstance(inner, asyncio.Transport) else transport


def _unacknowledged(transport: asyncio.Transport) -> int:
    """Return the number of bytes in the kernel's send queue, or 0 on a system that does not report it.

    The kernel accepts bytes in steps of hundreds of KiB. Only its own count shows that a slow peer reads steadily.
    """
    socket = transport.get_extra_info("socket")
    try:
        return int(struct.unpack("i", fcntl.ioctl(socket.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))[0])
    except (OSError, AttributeError, ValueError):
        return 0


def reset_when_closed(connection: sockets.socket) -> None:
    """Make the close of a connection a reset: the kernel discards its bytes, and the peer learns of the end at once."""
    connection.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))

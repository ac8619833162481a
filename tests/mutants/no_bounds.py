"""A server that counts what its peers do, and lets them do it: no connection is refused or cut, no request waits for room."""

from __future__ import annotations

from typing import Any

from starlette.websockets import WebSocket

from timim.cli import main
from timim.server.content.body_receiver import BodyReceiver
from timim.server.endpoints import frame_buffer
from timim.server.endpoints.guests import Guest
from timim.server.endpoints.peer_protocols import PeerHttpProtocol, PeerWebSocketProtocol
from timim.server.endpoints.peer_transport import PeerGuard, PeerTransport
from timim.server.endpoints.websocket import WebSocketEndpoint
from timim.server.sessions.session import Session
from timim.server.sessions.waiting_bytes import PeerBytes


def nothing(*args: Any) -> Any:
    """Do nothing."""


async def at_once(self: Session, size: int) -> None:
    """Wait for no room."""


async def never(self: WebSocketEndpoint, socket: WebSocket, requests: int, guest: Guest) -> bool:
    """Take any number of requests before a login."""
    return False


def admit_any(self: PeerGuard, host: str, *, is_new: bool = True) -> bool:
    """Count nothing."""
    return True


def count_any(self: BodyReceiver, size: int) -> None:
    self.begin()


PeerBytes.cut = nothing  # type: ignore[assignment]
PeerTransport.check = lambda self, now: False  # type: ignore[method-assign]
PeerGuard.admit = admit_any  # type: ignore[method-assign]
PeerGuard.refuses = lambda self, host: False  # type: ignore[method-assign]
WebSocketEndpoint._is_over = never  # type: ignore[method-assign]
PeerGuard.release = nothing  # type: ignore[assignment]
PeerHttpProtocol._refuse = nothing  # type: ignore[assignment]
PeerWebSocketProtocol._fail = nothing  # type: ignore[assignment]
Session.try_reserve = lambda self, size: True  # type: ignore[method-assign]
Session.reserve = at_once  # type: ignore[method-assign]
Session.release = nothing  # type: ignore[assignment]
frame_buffer.FRAMES_A_TURN = 1 << 30
BodyReceiver.count = count_any  # type: ignore[method-assign]

if __name__ == "__main__":
    main()

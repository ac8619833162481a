"""Listening socket that resets the connections of refused addresses, before they cost a transport and a protocol."""

from __future__ import annotations

import socket as sockets
from typing import Any

from .peer_transport import PeerGuard, reset_when_closed

__all__ = ["GuardedListener"]

REFUSED_A_TURN = 64  # connections that are reset in one turn of the event loop


class GuardedListener(sockets.socket):
    """Listening socket whose `accept` skips the connections that are refused.

    Args:
        listener: A listening socket, which this one replaces.
        guard: The limits of new connections.
    """

    def __init__(self, listener: sockets.socket, guard: PeerGuard) -> None:
        super().__init__(listener.family, listener.type, listener.proto, listener.detach())
        self.setblocking(False)
        self._guard = guard

    def accept(self) -> tuple[sockets.socket, Any]:
        """Accept the next connection that is not refused.

        Raises:
            BlockingIOError: No connection waits, or `REFUSED_A_TURN` connections were refused.
        """
        for _ in range(REFUSED_A_TURN):
            connection, address = super().accept()
            if not self._guard.refuses_socket(address[0]):
                return connection, address
            reset_when_closed(connection)
            connection.close()
        raise BlockingIOError("the connections that were taken in this turn are refused")

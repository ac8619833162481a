"""Listening socket that resets the connections of refused addresses, before they cost a transport and a protocol."""

from __future__ import annotations

import socket as sockets
import struct
from collections.abc import Callable
from typing import Any

__all__ = ["GuardedListener", "reset_when_closed"]

REFUSED_A_TURN = 64  # connections that are reset in one turn of the event loop


class GuardedListener(sockets.socket):
    """Listening socket whose `accept` skips the connections that are refused.

    Args:
        listener: A listening socket, which this one replaces.
        refuses: Returns True if a connection of this address is refused.
    """

    def __init__(self, listener: sockets.socket, refuses: Callable[[str], bool]) -> None:
        super().__init__(listener.family, listener.type, listener.proto, listener.detach())
        self.setblocking(False)
        self._refuses = refuses

    def accept(self) -> tuple[sockets.socket, Any]:
        """Accept the next connection that is not refused.

        Raises:
            BlockingIOError: No connection waits, or `REFUSED_A_TURN` connections were refused.
        """
        for _ in range(REFUSED_A_TURN):
            connection, address = super().accept()
            if not self._refuses(address[0]):
                return connection, address
            reset_when_closed(connection)
            connection.close()
        raise BlockingIOError("the connections that were taken in this turn are refused")


def reset_when_closed(connection: sockets.socket) -> None:
    """Make the close of a connection a reset: the kernel discards its bytes, and the peer learns of the end at once."""
    connection.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))

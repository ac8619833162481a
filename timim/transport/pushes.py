"""Pushes of one websocket: numbered from 1, each handed on once, a missing number reported."""

from __future__ import annotations

from typing import Protocol

from ..errors import TimimError
from ..protocol import session
from ..protocol.codec import decode
from ..protocol.frames import Frame


class ConnectionListener(Protocol):
    """The object that a connection tells of its state, as asyncio tells a Protocol. No method may block."""

    def on_connected(self, reply: session.LoginReply) -> None:
        """Handle that the server accepted the login; requests can be sent."""

    def on_disconnected(self, error: TimimError, final: bool) -> None:
        """Handle that the websocket is lost; with `final`, the connection will not try again."""

    def on_push(self, push: session.DecodedPush) -> None:
        """Handle a push."""

    def on_push_gap(self) -> None:
        """Handle that pushes may have been lost: compare with the server."""


class PushReceiver:
    """Counts the pushes of one websocket and hands each one to the listener."""

    def __init__(self, listener: ConnectionListener) -> None:
        self._listener = listener
        self._last = 0

    def receive(self, frame: Frame) -> None:
        """Hand on a push; ignore one that came before, report a gap before this one. Raises ProtocolError."""
        seq = frame.head.seq
        if seq <= self._last:
            return  # repeated, or reported as lost already: a comparison fetched its content
        if seq > self._last + 1:
            self._listener.on_push_gap()
        self._last = seq
        self._listener.on_push(decode(session.DecodedPush, frame.body))

    def compare(self, sent: int) -> bool:
        """Take the number of pushes that the server sent; return whether some of them did not arrive."""
        lost = sent > self._last
        self._last = max(self._last, sent)
        return lost

"""Pushes of one websocket. They are numbered from 1; each is delivered once, and a missing number is reported."""

from __future__ import annotations

import logging
from typing import Protocol

from ..errors import ProtocolError, TimimError
from ..protocol import session
from ..protocol.codec import decode
from ..protocol.frames import Frame

log = logging.getLogger(__name__)


class ConnectionListener(Protocol):
    """The callbacks of a connection, called on the event loop. No method may block."""

    def on_connected(self, reply: session.LoginReply) -> None:
        """Handle an accepted login; requests can be sent."""

    def on_disconnected(self, error: TimimError, final: bool) -> None:
        """Handle the loss of the websocket. If `final`, the connection does not reconnect."""

    def on_push(self, push: session.DecodedPush) -> None:
        """Handle a push."""

    def on_signature_expiring(self, expires_at: float) -> None:
        """Handle that the signature of the login ends soon, at this Unix time in seconds."""

    def on_rate_limited(self, error: TimimError, wait_s: float) -> None:
        """Handle the refusal of a request that is sent again after `wait_s` seconds."""

    def on_push_gap(self) -> None:
        """Handle a possible loss of pushes, by a sync with the server."""


class PushReceiver:
    """Counts the pushes of one websocket and hands each one to the listener."""

    def __init__(self, listener: ConnectionListener) -> None:
        self._listener = listener
        self._last = 0

    def receive(self, frame: Frame) -> None:
        """Deliver a push to the listener; ignore a repeated one, and report a gap, or a push that cannot be decoded."""
        seq = frame.head.seq
        if seq <= self._last:
            return  # repeated, or already reported as lost: a sync has fetched its content
        if seq > self._last + 1:
            self._listener.on_push_gap()
        self._last = seq
        try:
            push = decode(session.DecodedPush, frame.body)
        except ProtocolError as exc:  # the sync finds out which entry it is; reconnecting would bring the same push again
            log.warning("skipped a push that cannot be decoded; a sync fetches its content: %s", exc)
            self._listener.on_push_gap()
            return
        self._listener.on_push(push)

    def on_rate_limited(self, error: TimimError, wait_s: float) -> None:
        """Tell the listener that a request was refused by a rate limit and is sent again after `wait_s` seconds."""
        self._listener.on_rate_limited(error, wait_s)

    def compare(self, sent: int) -> bool:
        """Set the number of pushes that the server has sent; return True if some did not arrive."""
        lost = sent > self._last
        self._last = max(self._last, sent)
        return lost

"""The other nodes, as far as they are heard. No I/O.

Each node numbers its heartbeats from 1: a gap in them shows that hints between these two were lost as well, wherever on the way
between several NATS servers that was. A node that is silent for SILENCE_LIMIT_S, or sends its last heartbeat, 0, is lost.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Protocol

import msgspec

HEARTBEAT_S = 0.5
SILENCE_LIMIT_S = 3.0  # six beats: a node that is busy for a moment is not gone

_BEAT = msgspec.msgpack.Decoder(tuple[str, int])


class HeartbeatListener(Protocol):
    """Whom a monitor tells of the other nodes."""

    def on_gap(self) -> None:
        """Note that a heartbeat number was skipped: hints were lost."""
        ...

    def on_lost(self, *, timed_out: bool) -> None:
        """Note that a node left, or timed out."""
        ...


class HeartbeatMonitor:
    """Which other nodes are heard, by their heartbeats. `now`: monotonic."""

    def __init__(self, listener: HeartbeatListener, now: Callable[[], float]) -> None:
        self.node_id = secrets.token_hex(8)
        self._listener = listener
        self._now = now
        self._number = 0
        self._heard: dict[str, tuple[int, float]] = {}  # node → its last heartbeat, and when

    @property
    def node_ids(self) -> frozenset[str]:
        return frozenset(self._heard)

    def next_heartbeat(self) -> bytes:
        """Return the next heartbeat to send. One that cannot be sent is counted: a node that misses it has missed more."""
        self._number += 1
        return msgspec.msgpack.encode((self.node_id, self._number))

    def last_heartbeat(self) -> bytes:
        return msgspec.msgpack.encode((self.node_id, 0))

    def on_heartbeat(self, message: bytes) -> bool:
        """Take in the heartbeat of another node, and tell whether that node is new, and so may not know this one."""
        node, number = _BEAT.decode(message)
        if number == 0:
            if self._heard.pop(node, None) is not None:
                self._listener.on_lost(timed_out=False)
            return False
        new = node not in self._heard
        before, _ = self._heard.get(node, (0, 0.0))
        self._heard[node] = number, self._now()
        if number != before + 1:
            self._listener.on_gap()
        return new

    def check_silence(self) -> None:
        """Report the nodes that are silent for too long."""
        silent = [node for node, (_, at) in self._heard.items() if self._now() - at > SILENCE_LIMIT_S]
        for node in silent:
            del self._heard[node]
        if silent:
            self._listener.on_lost(timed_out=True)

    def restart_timeouts(self) -> None:
        """Start the timeouts again: while this node heard nothing, no other was silent by itself."""
        self._heard = {node: (number, self._now()) for node, (number, _) in self._heard.items()}

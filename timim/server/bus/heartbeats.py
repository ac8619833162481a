"""Detection of the other nodes, and of lost hints, by heartbeats. No I/O.

Each node numbers its heartbeats from 1. If a receiver misses a number, hints may be lost as well. This detects losses
between two NATS servers too. A node counts as lost when it sends its last heartbeat, which has number 0, or sends none for
SILENCE_LIMIT_S.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Protocol

import msgspec

HEARTBEAT_S = 0.5
SILENCE_LIMIT_S = 3.0  # six heartbeats: a node that is busy for a moment is not lost

_BEAT = msgspec.msgpack.Decoder(tuple[str, int])


class HeartbeatListener(Protocol):
    """The object that a HeartbeatMonitor notifies of lost hints and lost nodes."""

    def on_gap(self) -> None:
        """React to a skipped heartbeat number: hints were lost."""
        ...

    def on_lost(self, *, timed_out: bool) -> None:
        """React to the loss of a node, which has left or, if `timed_out`, has sent no heartbeat in time."""
        ...


class HeartbeatMonitor:
    """A monitor of the other nodes' heartbeats. `now` is a monotonic clock in seconds."""

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
        """Return the next heartbeat to send.

        The number is used up even if the heartbeat cannot be sent, so that other nodes detect the loss.
        """
        self._number += 1
        return msgspec.msgpack.encode((self.node_id, self._number))

    def last_heartbeat(self) -> bytes:
        return msgspec.msgpack.encode((self.node_id, 0))

    def on_heartbeat(self, message: bytes) -> bool:
        """Process a heartbeat of another node. Return True if that node is new, and so may not know this one."""
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
        """Report the nodes that have sent no heartbeat for SILENCE_LIMIT_S."""
        silent = [node for node, (_, at) in self._heard.items() if self._now() - at > SILENCE_LIMIT_S]
        for node in silent:
            del self._heard[node]
        if silent:
            self._listener.on_lost(timed_out=True)

    def restart_timeouts(self) -> None:
        """Restart the timeouts of all nodes, for use after an outage of this node's own connection."""
        self._heard = {node: (number, self._now()) for node, (number, _) in self._heard.items()}

"""The other nodes, as far as they are heard. No I/O.

Each node's beats are numbered from 1: a hole in them tells that hints between these two were lost as well, wherever on the
way between several NATS servers that was. Who is silent for GONE_S, or says the last beat, 0, is gone.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

import msgspec

BEAT_S = 0.5
GONE_S = 3.0  # six beats: a node that is busy for a moment is not gone

_BEAT = msgspec.msgpack.Decoder(tuple[str, int])


class Peers:
    """`on_hole`: hints were lost. `on_gone`: a node ended, False, or is silent, True. `now`: monotonic."""

    def __init__(self, *, on_hole: Callable[[], None], on_gone: Callable[[bool], None], now: Callable[[], float]) -> None:
        self.me = secrets.token_hex(8)
        self._on_hole = on_hole
        self._on_gone = on_gone
        self._now = now
        self._number = 0
        self._heard: dict[str, tuple[int, float]] = {}  # node → its last beat, and when

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._heard)

    def beat(self) -> bytes:
        """The next beat to send. One that cannot be sent is counted: whoever misses it has missed more."""
        self._number += 1
        return msgspec.msgpack.encode((self.me, self._number))

    def last_beat(self) -> bytes:
        return msgspec.msgpack.encode((self.me, 0))

    def hear(self, message: bytes) -> bool:
        """A beat of another node. Whether it was not known, and so may not know this one."""
        node, number = _BEAT.decode(message)
        if number == 0:
            if self._heard.pop(node, None) is not None:
                self._on_gone(False)
            return False
        new = node not in self._heard
        before, _ = self._heard.get(node, (0, 0.0))
        self._heard[node] = number, self._now()
        if number != before + 1:
            self._on_hole()
        return new

    def look(self) -> None:
        """Find those who are silent."""
        silent = [node for node, (_, at) in self._heard.items() if self._now() - at > GONE_S]
        for node in silent:
            del self._heard[node]
        if silent:
            self._on_gone(True)

    def excuse(self) -> None:
        """Nobody could be heard: none of them was silent by itself."""
        self._heard = {node: (number, self._now()) for node, (number, _) in self._heard.items()}

"""This node among others: what it hears on the bus goes to its sessions and its memory.

Invariant: whatever may have been lost is asked for again, by every device and before every decision.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

from .bus.base import Event, Facts
from .fanout import Fanout
from .membership import Directory


class Node:
    """A bus's listener."""

    def __init__(self, fanout: Fanout, directory: Directory, rng: random.Random) -> None:
        self._fanout = fanout
        self._directory = directory
        self._rng = rng

    def receive(self, event: Event) -> None:
        self._fanout.receive(event)

    def learn(self, facts: Facts) -> None:
        self._directory.learn(facts)

    def compare(self, users: Iterable[str]) -> None:
        self._fanout.compare(users)

    def doubt(self, *, away: bool) -> None:
        self._directory.doubt(away=away)
        self._fanout.compare_all(self._rng)

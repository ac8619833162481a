"""This node among others: what it hears on the bus goes to its sessions and its memory.

Invariant: whatever may have been lost is asked for again, by every device and before every decision.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

from ..bus.base import Event, Facts, Login
from ..social.entity_cache import Directory
from .device_slots import Places
from .fanout import Fanout


class Node:
    """A bus's listener. `inherit` is called when another node is gone."""

    def __init__(
        self, fanout: Fanout, directory: Directory, places: Places, inherit: Callable[[], None], rng: random.Random
    ) -> None:
        self._fanout = fanout
        self._directory = directory
        self._places = places
        self._inherit = inherit
        self._rng = rng

    def receive(self, event: Event) -> None:
        self._fanout.receive(event)

    def learn(self, facts: Facts) -> None:
        self._directory.learn(facts)

    def online(self, user: str) -> bool:
        return self._fanout.online(user)

    def arrived(self, login: Login) -> None:
        self._places.hear(login)

    def inherit(self) -> None:
        self._inherit()

    def compare(self, users: Iterable[str]) -> None:
        self._fanout.compare(users)

    def doubt(self, *, away: bool) -> None:
        self._directory.doubt(away=away)
        self._fanout.compare_all(self._rng, self._places.doubt)

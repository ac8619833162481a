"""What this node hears on the bus: it goes to its sessions and its cache.

Invariant: whatever may have been lost is asked for again, by every device and before every decision.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Protocol

from ..bus.base import Event, Invalidation, LoginAnnouncement
from ..social.entity_cache import EntityCache
from .device_slots import DeviceSlots
from .fanout import Fanout


class Backlog(Protocol):
    """Work that any node may take over from one that is gone."""

    def scan_backlog(self) -> None:
        """Find what the other node left undone."""
        ...


class BusListener:
    """The listener of this node."""

    def __init__(
        self, fanout: Fanout, entities: EntityCache, device_slots: DeviceSlots, backlog: Backlog, rng: random.Random
    ) -> None:
        self._fanout = fanout
        self._entities = entities
        self._device_slots = device_slots
        self._backlog = backlog
        self._rng = rng

    def receive(self, event: Event) -> None:
        self._fanout.receive(event)

    def invalidate(self, facts: Invalidation) -> None:
        self._entities.invalidate(facts)

    def online(self, user: str) -> bool:
        return self._fanout.online(user)

    def on_remote_login(self, login: LoginAnnouncement) -> None:
        self._device_slots.on_remote_login(login)

    def on_node_lost(self) -> None:
        self._backlog.scan_backlog()

    def compare(self, users: Iterable[str]) -> None:
        self._fanout.compare(users)

    def on_possible_loss(self, *, away: bool) -> None:
        self._entities.invalidate_all(away=away)
        self._fanout.compare_all(self._rng, self._device_slots.recheck_session)

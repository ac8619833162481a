"""Listener that passes events of the bus to the sessions and the entity cache of this node.

Invariant: after a possible loss every device compares its seqs with the server, and every entity is read again before its next
use.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Protocol

from ..bus.base import Event, Invalidation, LoginAnnouncement
from ..social.entity_cache import EntityCache
from .device_slots import DeviceSlots
from .fanout import Fanout
from .revocations import Revocations
from .session import Session
from .status_watch import StatusWatch


class Backlog(Protocol):
    """Work that any node can take over from a lost node."""

    def scan_backlog(self) -> None:
        """Find the work that the lost node did not finish."""
        ...


class BusListener:
    """The listener of this node. `rng` gives the delays after which devices compare their seqs when events may be lost."""

    def __init__(
        self,
        fanout: Fanout,
        entities: EntityCache,
        device_slots: DeviceSlots,
        revocations: Revocations,
        backlogs: Sequence[Backlog],
        statuses: StatusWatch,
        rng: random.Random,
    ) -> None:
        self._fanout = fanout
        self._entities = entities
        self._device_slots = device_slots
        self._revocations = revocations
        self._backlogs = backlogs
        self._statuses = statuses
        self._rng = rng

    def receive(self, event: Event) -> None:
        """Push an event to the sessions of its users."""
        self._fanout.receive(event)

    def invalidate(self, facts: Invalidation) -> None:
        """Remove from the cache the entities that another node has changed, and end the logins that it revoked."""
        self._entities.invalidate(facts)
        self._statuses.on_changed_accounts(facts.accounts)
        for revocation in facts.revoked:
            self._revocations.apply(revocation)

    def online(self, user: str) -> bool:
        """Return True if a user has a session on this node."""
        return self._fanout.online(user)

    def platforms(self, user: str) -> set[str]:
        """Return the platforms of a user's devices on this node."""
        return self._fanout.platforms(user)

    def on_remote_login(self, login: LoginAnnouncement) -> None:
        """End older sessions of a device that logged in on another node."""
        self._device_slots.on_remote_login(login)

    def on_node_lost(self) -> None:
        """Take over the work of a lost node, and read the status of watched users, who may be offline now."""
        for backlog in self._backlogs:
            backlog.scan_backlog()
        self._statuses.compare_all()

    def on_presence(self, user: str) -> None:
        """Push the status of a watched user, if it has changed."""
        self._statuses.on_presence(user)

    def compare(self, users: Iterable[str]) -> None:
        """Make the devices of users compare their seqs with the server."""
        self._fanout.compare(users)

    def on_possible_loss(self, *, away: bool) -> None:
        """Invalidate the cache, read the watched statuses, and make all devices compare their seqs with the server."""
        self._entities.invalidate_all(away=away)
        self._statuses.compare_all()
        self._fanout.compare_all(self._rng, self._recheck_session)

    def _recheck_session(self, session: Session) -> None:
        """Find out whether another login, or an administrator, has ended this session meanwhile."""
        self._device_slots.recheck_session(session)
        self._revocations.recheck_session(session)

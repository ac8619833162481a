"""The bus's contract: every subscriber of this node and the others hears an event, at most once, or not at all.

A lost event costs time, never a message: devices see the gap in the seqs and fetch it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol

import msgspec


class Event(msgspec.Struct, frozen=True, gc=False):
    """Something for all devices of `users` but the one that caused it (`origin`, a session's id).

    What only timim's clients know has an Event number above 10000; `plain` is what others are pushed instead, if anything.
    With `group`, other nodes are told once, and find their own users who see this `seq`.
    """

    users: Iterable[str]
    kind: int  # the push's Event number
    payload: msgspec.Raw  # an entry, rendered once for all
    origin: int = 0
    plain: msgspec.Raw | None = None  # a whole member of EventArray
    group: str = ""
    seq: int = 0


class Invalidation(msgspec.Struct, kw_only=True, array_like=True):
    """Entities that a changeset changed, and that other nodes must read again. `joined`: group → user → first seq they see."""

    accounts: list[str] = []
    groups: list[str] = []
    relationships: list[str] = []
    joined: dict[str, dict[str, int]] = {}
    left: dict[str, list[str]] = {}


class LoginAnnouncement(msgspec.Struct, frozen=True, array_like=True):
    """A session that begins; `at`: server seconds, `resumed`: it came back by itself after a cut."""

    user: str
    device: str
    platform: str
    at: float
    resumed: bool


class Listener(Protocol):
    """A node's side of the bus. No method may block."""

    def receive(self, event: Event) -> None:
        """Deliver an event to sessions of this node."""
        ...

    def invalidate(self, facts: Invalidation) -> None:
        """Forget what another node changed."""
        ...

    def compare(self, users: Iterable[str]) -> None:
        """Tell the devices of these users to compare: events for them may have been lost."""
        ...

    def online(self, user: str) -> bool:
        """Tell whether this user is logged in on this node."""
        ...

    def on_remote_login(self, login: LoginAnnouncement) -> None:
        """Note that a user with sessions here logged in on another node."""
        ...

    def on_node_lost(self) -> None:
        """Note that another node is gone: any node may finish its work."""
        ...

    def on_possible_loss(self, *, away: bool) -> None:
        """Note that events may have been lost. `away`: more are being lost until the next call."""
        ...


class Memberships(Protocol):
    """Where a bus reads which groups a user is in."""

    async def first_visible_seqs(self, user: str) -> dict[str, int]:
        """Return a user's groups, each with the first seq that the user may see. Raises StorageError."""
        ...


class Bus(Protocol):
    """The way between nodes. A call never blocks; what it could not tell is reported as a possible loss."""

    def publish(self, event: Event, *, again: bool = False) -> None:
        """Tell all. `again`: it was stored before, by a node that may have ended before it told."""
        ...

    def announce(self, facts: Invalidation) -> None:
        """Tell the other nodes."""
        ...

    def announce_login(self, login: LoginAnnouncement) -> None:
        """Tell the other nodes of a session that begins here."""
        ...

    async def online(self, users: Collection[str]) -> set[str]:
        """Return those of `users` who have sessions on any node, as far as other nodes can be asked now."""
        ...

    def join(self, listener: Listener) -> None: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def listen(self, user: str) -> None:
        """Hear a user, for a session that begins on this node: what happens elsewhere is heard once this returns."""
        ...

    def unlisten(self, user: str) -> None:
        """Hear a user no more, for a session that ended. Call this once for each `listen`."""
        ...

    @property
    def away(self) -> bool:
        """Other nodes cannot be told anything now."""
        ...

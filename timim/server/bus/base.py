"""The interface of the bus: every subscriber of this node and of the others receives an event at most once.

A lost event costs time, never a message: devices detect the gap in the seqs and fetch the missing entries.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol

import msgspec


class Event(msgspec.Struct, frozen=True, gc=False):
    """A push for all devices of `users`, except the one that caused the event (`origin`, the id of a session).

    A timim extension has an Event number above 10000; `plain` is the push that other clients get instead, if any.
    An event with `group` is sent once to the other nodes, which select those of their users who may see this `seq`.
    """

    users: Iterable[str]
    kind: int  # the push's Event number
    payload: msgspec.Raw  # an entry, encoded once for all devices
    origin: int = 0
    plain: msgspec.Raw | None = None  # a complete item of EventArray
    group: str = ""
    seq: int = 0


class Revocation(msgspec.Struct, frozen=True, array_like=True):
    """The end of a user's logins that began until `logins_until_ms`, and of signatures made until `signed_until` (seconds)."""

    user: str
    logins_until_ms: int
    signed_until: int = 0


class Invalidation(msgspec.Struct, kw_only=True, array_like=True):
    """Entities that a changeset changed, so that other nodes must read them again, and logins that have ended.

    `joined` maps each group to its new members, with the first seq that each may see. `reaches_newcomers` is set by nodes
    that send the events of a group to its newcomers' own subjects as well, which older versions do not.
    """

    accounts: list[str] = []
    groups: list[str] = []
    relationships: list[str] = []
    joined: dict[str, dict[str, int]] = {}
    left: dict[str, list[str]] = {}
    reaches_newcomers: bool = False
    revoked: list[Revocation] = []


class LoginAnnouncement(msgspec.Struct, frozen=True, array_like=True):
    """The announcement of a new session. `at` is in server seconds; `resumed` means that the device reconnected by itself."""

    user: str
    device: str
    platform: str
    at: float
    resumed: bool


class Listener(Protocol):
    """The part of a node that receives events and reports from the bus. No method may block."""

    def receive(self, event: Event) -> None:
        """Deliver an event to the sessions of this node."""
        ...

    def invalidate(self, facts: Invalidation) -> None:
        """Invalidate the cached entities that another node changed, and end the logins that it revoked."""
        ...

    def compare(self, users: Iterable[str]) -> None:
        """Ask the devices of these users to compare their seqs with the store, because events may have been lost."""
        ...

    def online(self, user: str) -> bool:
        """Return True if this user is logged in on this node."""
        ...

    def platforms(self, user: str) -> set[str]:
        """Return the platforms of this user's devices that are logged in on this node."""
        ...

    def on_remote_login(self, login: LoginAnnouncement) -> None:
        """React to the login on another node of a user who has sessions on this node."""
        ...

    def on_presence(self, user: str) -> None:
        """React to a change of the status of a user whom this node watches."""
        ...

    def on_node_lost(self) -> None:
        """React to the end of another node, whose work any node may finish."""
        ...

    def on_possible_loss(self, *, away: bool) -> None:
        """React to a possible loss of events. If `away`, more events are being lost until the next call."""
        ...


class Memberships(Protocol):
    """A source from which a bus reads the groups of a user."""

    async def first_visible_seqs(self, user: str) -> dict[str, int]:
        """Return a user's groups, each with the first seq that the user may see. Raises StorageError."""
        ...


class PresenceReports(Protocol):
    """The reports between nodes that the status of a user may have changed. A report can be lost."""

    def send(self, user: str) -> None:
        """Report to the nodes that watch a user that the user's status may have changed."""
        ...

    async def watch(self, users: Iterable[str]) -> None:
        """Receive the reports about users, until `unwatch`."""
        ...

    def unwatch(self, user: str) -> None:
        """Receive no more reports about a user."""
        ...


class Bus(Protocol):
    """The connection between nodes. A call never blocks; an event that cannot be sent is reported as a possible loss."""

    def publish(self, event: Event, *, again: bool = False) -> None:
        """Send an event to the subscribers on all nodes.

        If `again`, the entry was stored earlier, by a node that may have ended before it published the event.
        """
        ...

    def announce(self, facts: Invalidation) -> None:
        """Send an invalidation to the other nodes."""
        ...

    def announce_login(self, login: LoginAnnouncement) -> None:
        """Announce a session of this node to the other nodes."""
        ...

    async def online(self, users: Collection[str]) -> set[str]:
        """Return those of `users` who have sessions on any node. Nodes that cannot be reached now are left out."""
        ...

    async def platforms(self, users: Collection[str]) -> dict[str, set[str]]:
        """Return the platforms of each user's devices on all nodes. Nodes that cannot be reached now are left out."""
        ...

    def join(self, listener: Listener) -> None: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def listen(self, user: str) -> None:
        """Subscribe to the events of a user for a session that begins on this node.

        After this call, events from other nodes are received, unless the bus is disconnected.
        """
        ...

    def unlisten(self, user: str) -> None:
        """Unsubscribe for a session that ended. Call this once for each `listen`."""
        ...

    @property
    def presence(self) -> PresenceReports:
        """The reports of changed statuses."""
        ...

    @property
    def away(self) -> bool:
        """True while events cannot be sent to other nodes."""
        ...

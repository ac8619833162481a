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


class Facts(msgspec.Struct, kw_only=True, array_like=True):
    """What was changed by a plan: other nodes read it anew. `came`: group → user → the first seq that this member sees."""

    accounts: list[str] = []
    groups: list[str] = []
    circles: list[str] = []
    came: dict[str, dict[str, int]] = {}
    gone: dict[str, list[str]] = {}


class Login(msgspec.Struct, frozen=True, array_like=True):
    """A session that begins; `at`: server seconds, `resumed`: it came back by itself after a cut."""

    user: str
    device: str
    platform: str
    at: float
    resumed: bool


class Listener(Protocol):
    """The node's side of the bus; nothing of it may block."""

    def receive(self, event: Event) -> None:
        """An event for sessions of this node."""
        ...

    def learn(self, facts: Facts) -> None:
        """Another node changed these."""
        ...

    def compare(self, users: Iterable[str]) -> None:
        """Something for these may have been lost."""
        ...

    def online(self, user: str) -> bool:
        """Whether this user is logged in on this node."""
        ...

    def arrived(self, login: Login) -> None:
        """A session of a user with sessions here began on another node."""
        ...

    def inherit(self) -> None:
        """Another node is gone: what it left undone is anybody's."""
        ...

    def doubt(self, *, away: bool) -> None:
        """Something may have been lost; `away`: and will be, until this is called again."""
        ...


class Bus(Protocol):
    def publish(self, event: Event, *, again: bool = False) -> None:
        """Tell all. `again`: it was stored before, by a node that may have ended before it told."""
        ...

    def announce(self, facts: Facts) -> None:
        """Tell the other nodes."""
        ...

    def arrived(self, login: Login) -> None:
        """Tell the other nodes of a session that begins here."""
        ...

    async def online(self, users: Collection[str]) -> set[str]:
        """Those of `users` who have sessions on other nodes, as far as these can be asked now."""
        ...

    def join(self, listener: Listener) -> None: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def listen(self, user: str) -> None:
        """A session of this user begins on this node: when this returns, what happens elsewhere is heard here."""
        ...

    def unlisten(self, user: str) -> None:
        """A session of this user ended; one call for each of `listen`."""
        ...

    @property
    def away(self) -> bool:
        """Other nodes cannot be told anything now."""
        ...

"""The bus's contract: every subscriber of this node and the others hears an event, at most once, or not at all.

A lost event costs time, never a message: devices see the gap in the seqs and fetch it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import msgspec


@dataclass(frozen=True, slots=True)
class Event:
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

    def doubt(self, *, away: bool) -> None:
        """Something may have been lost; `away`: and will be, until this is called again."""
        ...


class Bus(Protocol):
    def publish(self, event: Event) -> None: ...

    def announce(self, facts: Facts) -> None:
        """Tell the other nodes."""
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

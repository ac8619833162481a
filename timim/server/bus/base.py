"""The bus's contract: every subscriber of this node and the others hears an event, at most once, or not at all.

A lost event costs time, never a message: devices see the gap in the seqs and fetch it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import msgspec


@dataclass(frozen=True, slots=True)
class Event:
    """Something for all devices of `users` but the one that caused it (`origin`, a session's id).

    What only timim's clients know has an Event number above 10000; `plain` is what others are pushed instead, if anything.
    """

    users: Iterable[str]
    kind: int  # the push's Event number
    payload: msgspec.Raw  # an entry, rendered once for all
    origin: int = 0
    plain: msgspec.Raw | None = None  # a whole member of EventArray


class Bus(Protocol):
    def publish(self, event: Event) -> None: ...

    def subscribe(self, receive: Callable[[Event], None]) -> None: ...

"""Comparison of the messages received with those sent.

Each sender numbers its messages to each conversation 0, 1, 2, …: a stream. A receiver must get every number of a stream once
and in order, except those that the server refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(slots=True)
class SequenceTracker:
    """The numbers that one receiver has received from one sender. Only the missing numbers are kept in memory."""

    last: int = -1
    missing: set[int] = field(default_factory=set)
    received: int = 0
    repeated: int = 0
    disordered: int = 0

    def record(self, number: int) -> None:
        """Count one received number as the next, as repeated or as out of order."""
        self.received += 1
        if number == self.last + 1:
            self.last = number
        elif number > self.last:
            self.missing.update(range(self.last + 1, number))
            self.last = number
        elif number in self.missing:
            self.missing.remove(number)
            self.disordered += 1
        else:
            self.repeated += 1

    def lost_below(self, count: int, failed: Iterable[int]) -> set[int]:
        """Return the numbers below `count` that were neither received nor refused."""
        return (self.missing | set(range(self.last + 1, count))) - set(failed)

"""What came, against what was sent. Each sender numbers its messages to each place: 0, 1, 2, … is a line.

Of one line a receiver hears every number once and in order, but for those that the server refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(slots=True)
class SequenceTracker:
    """One line as one receiver hears it. What it holds in memory is what is missing at the moment."""

    last: int = -1
    missing: set[int] = field(default_factory=set)
    received: int = 0
    repeated: int = 0
    disordered: int = 0

    def record(self, number: int) -> None:
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
        """Of the numbers below `count`, those that did not come, and were not refused."""
        return (self.missing | set(range(self.last + 1, count))) - set(failed)

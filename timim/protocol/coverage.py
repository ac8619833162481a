"""The stored part of a timeline: a set of closed intervals of seqs. Adjacent intervals are merged.

Pure and immutable. `[(1, 4), (6, 9)]` means that 1 to 4 and 6 to 9 are stored and 5 is missing. Two messages of different
intervals are never neighbours.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Self


class Interval(NamedTuple):
    """The seqs `first` to `last`, inclusive."""

    first: int
    last: int

    @property
    def size(self) -> int:
        return self.last - self.first + 1


class Coverage:
    """An immutable set of seqs, stored as sorted, disjoint intervals that are not adjacent."""

    __slots__ = ("_intervals",)

    def __init__(self, intervals: Iterable[tuple[int, int]] = ()) -> None:
        """Merge intervals in any order.

        Raises:
            ValueError: An interval starts below 1, or ends before its start.
        """
        merged: list[Interval] = []
        for first, last in sorted(intervals):
            if first < 1 or last < first:
                raise ValueError(f"not an interval of seqs: ({first}, {last})")
            if merged and first <= merged[-1].last + 1:
                merged[-1] = Interval(merged[-1].first, max(merged[-1].last, last))
            else:
                merged.append(Interval(first, last))
        self._intervals = tuple(merged)

    @classmethod
    def of_seqs(cls, seqs: Iterable[int]) -> Self:
        """Return the coverage of single seqs, in any order.

        Raises:
            ValueError: A seq is below 1.
        """
        ordered = sorted(seqs)
        if not ordered:
            return cls()
        first = last = ordered[0]
        merged: list[tuple[int, int]] = []
        for seq in ordered:
            if seq > last + 1:
                merged.append((first, last))
                first = seq
            last = seq
        return cls([*merged, (first, last)])

    @property
    def intervals(self) -> tuple[Interval, ...]:
        return self._intervals

    @property
    def last(self) -> int:
        """The highest covered seq, or 0 if there is none."""
        return self._intervals[-1].last if self._intervals else 0

    def add(self, first: int, last: int) -> Self:
        """Return the coverage with `first` to `last` added.

        Raises:
            ValueError: The interval starts below 1, or ends before its start.
        """
        if first < 1 or last < first:
            raise ValueError(f"not an interval of seqs: ({first}, {last})")
        held = self._intervals
        low = bisect_left(held, first - 1, key=lambda i: i.last)
        high = bisect_right(held, last + 1, key=lambda i: i.first)
        if low < high:
            first, last = min(first, held[low].first), max(last, held[high - 1].last)
        return self._with((*held[:low], Interval(first, last), *held[high:]))

    def remove(self, first: int, last: int) -> Self:
        """Return the coverage without `first` to `last`, which become a gap."""
        kept: list[Interval] = []
        for held in self._intervals:
            if held.last < first or held.first > last:
                kept.append(held)
                continue
            if held.first < first:
                kept.append(Interval(held.first, first - 1))
            if held.last > last:
                kept.append(Interval(last + 1, held.last))
        return self._with(tuple(kept))

    def interval_of(self, seq: int) -> Interval | None:
        """Return the interval that contains `seq`, or None if `seq` is missing."""
        index = bisect_left(self._intervals, seq, key=lambda i: i.last)
        if index < len(self._intervals) and self._intervals[index].first <= seq:
            return self._intervals[index]
        return None

    def missing(self, first: int, last: int) -> tuple[Interval, ...]:
        """Return the gaps between `first` and `last`, in order."""
        gaps: list[Interval] = []
        at = first
        for held in self._intervals[bisect_left(self._intervals, first, key=lambda i: i.last) :]:
            if held.first > last:
                break
            if held.first > at:
                gaps.append(Interval(at, held.first - 1))
            at = held.last + 1
        if at <= last:
            gaps.append(Interval(at, last))
        return tuple(gaps)

    def covers(self, first: int, last: int) -> bool:
        """Return whether all of `first` to `last` is covered; True for an empty range."""
        if first > last:
            return True
        held = self.interval_of(first)
        return held is not None and held.last >= last

    def __contains__(self, seq: object) -> bool:
        return isinstance(seq, int) and self.interval_of(seq) is not None

    def __iter__(self) -> Iterator[Interval]:
        return iter(self._intervals)

    def __len__(self) -> int:
        """Return the number of covered seqs."""
        return sum(i.size for i in self._intervals)

    def __bool__(self) -> bool:
        return bool(self._intervals)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Coverage) and self._intervals == other._intervals

    def __hash__(self) -> int:
        return hash(self._intervals)

    def __repr__(self) -> str:
        return f"Coverage({[tuple(i) for i in self._intervals]})"

    @classmethod
    def _with(cls, intervals: tuple[Interval, ...]) -> Self:
        new = cls.__new__(cls)
        new._intervals = intervals
        return new

"""Tests of coverage (F30) by a state machine: gaps, first visible seqs and pages against a plain set of seqs."""

from __future__ import annotations

import sqlite3
from itertools import pairwise

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from timim.ids import ConversationKey, ConversationType
from timim.local_store import checksums, schema, timeline_state, writes
from timim.local_store.types import IngestBatch, MessageRow
from timim.protocol import coverage
from timim.protocol.coverage import Coverage, Interval

KEY = ConversationKey(ConversationType.C2C, "bob")
LAST = 40
seqs = st.integers(1, LAST)


class Knowing(RuleBasedStateMachine):
    """The store's own statements on a database in memory. The model has the server's seqs and the set of covered ones."""

    def __init__(self) -> None:
        super().__init__()
        self.store = sqlite3.connect(":memory:", isolation_level=None)
        schema.migrate(self.store)
        self.there: set[int] = set()  # the server's messages; a seq without a message is a tombstone
        self.held: set[int] = set()
        self.messages: set[int] = set()
        self.last = 0
        self.floor = 1

    def covered(self) -> Coverage:
        return timeline_state.coverage_of(self.store, KEY)

    @rule(count=st.integers(1, 6), gone=st.sets(st.integers(0, 5)))
    def said(self, count: int, gone: set[int]) -> None:
        """Add entries at the server and delete some of them at once."""
        new = range(self.last + 1, min(LAST, self.last + count) + 1)
        self.there |= {seq for i, seq in enumerate(new) if i not in gone}
        self.last = max(self.last, *new) if new else self.last

    @precondition(lambda self: self.last)
    @rule(data=st.data(), live=st.booleans())
    def learn(self, data: st.DataObject, live: bool) -> None:
        """Cover an interval by a page or a push, which proves that the interval has these messages and no others."""
        first = data.draw(st.integers(self.floor, self.last))
        last = data.draw(st.integers(first, self.last))
        proven = set(range(first, last + 1))
        incoming = [MessageRow(s, f"1-{s}", "bob", 1, False, b"[]") for s in sorted(proven & self.there)]
        before = set(self.messages)
        self.store.execute("BEGIN")
        stored = writes.ingest(self.store, IngestBatch(KEY, incoming, [Interval(first, last)], live=live, last_seq=self.last))
        self.store.execute("COMMIT")
        self.held |= proven
        self.messages |= proven & self.there
        if live:
            assert {m.seq for m in stored.new} >= self.messages - before

    @precondition(lambda self: self.messages)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        """Delete a message physically, which opens a gap of exactly one seq."""
        seq = data.draw(st.sampled_from(sorted(self.messages)))
        self.store.execute("DELETE FROM messages WHERE seq=?", (seq,))
        timeline_state.write_coverage(self.store, KEY, self.covered().remove(seq, seq))
        self.held.discard(seq)
        self.messages.discard(seq)

    @precondition(lambda self: self.last)
    @rule(data=st.data())
    def raise_floor(self, data: st.DataObject) -> None:
        """Raise the server's first seq: lower seqs are never requested again, and stored ones stay."""
        self.floor = data.draw(st.integers(self.floor, self.last))

    @rule(first=seqs, more=st.integers(0, 10))
    def what_is_missing(self, first: int, more: int) -> None:
        asked = range(max(first, self.floor), first + more + 1)
        if not asked:
            return
        gaps = self.covered().missing(asked.start, asked.stop - 1)
        assert {s for gap in gaps for s in range(gap.first, gap.last + 1)} == set(asked) - self.held
        assert all(left.last + 1 < right.first for left, right in pairwise(gaps)), "a gap must be one range"
        assert self.covered().covers(asked.start, asked.stop - 1) == (set(asked) <= self.held)

    @rule(first=seqs, last=seqs)
    def neighbours(self, first: int, last: int) -> None:
        """Check that two seqs are in one interval only if all seqs between them are covered."""
        found = self.covered().interval_of(first)
        assert (found is not None) == (first in self.held)
        together = found is not None and found.first <= last <= found.last
        low, high = sorted((first, last))
        assert together == (set(range(low, high + 1)) <= self.held)

    @invariant()
    def coverage_equals_the_stored_seqs(self) -> None:
        known = self.covered()
        assert {s for interval in known for s in range(interval.first, interval.last + 1)} == self.held
        assert all(left.last + 1 < right.first for left, right in pairwise(known.intervals)), "intervals that touch are one"
        assert len(known) == len(self.held)
        in_file = {seq for (seq,) in self.store.execute("SELECT seq FROM messages")}
        assert in_file == self.messages <= self.held

    def teardown(self) -> None:
        self.store.close()


TestCoverageEqualsTheStoredSeqs = pytest.mark.requirement("F30")(Knowing.TestCase)
TestCoverageEqualsTheStoredSeqs.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)


# the first failure is enough: the smallest example of a mutant's failure is not needed
MUTANTS = settings(max_examples=100, phases=[Phase.generate], deadline=None, database=None, print_blob=False)


class MergesNeighbours(Coverage):
    """A mutant that merges two intervals with one seq between them."""

    def add(self, first: int, last: int) -> MergesNeighbours:
        held = super().add(first, last)
        joined: list[tuple[int, int]] = []
        for interval in held:
            if joined and interval.first <= joined[-1][1] + 2:
                joined[-1] = (joined[-1][0], interval.last)
            else:
                joined.append((interval.first, interval.last))
        return MergesNeighbours(joined)


class OpensNoHole(Coverage):
    """A mutant that keeps deleted seqs covered."""

    def remove(self, first: int, last: int) -> OpensNoHole:
        return self


@pytest.mark.parametrize("mutant", [MergesNeighbours, OpensNoHole])
@pytest.mark.requirement("F30")
def test_wrong_coverage_is_detected(mutant: type[Coverage], monkeypatch: pytest.MonkeyPatch) -> None:
    assert issubclass(mutant, coverage.Coverage)
    monkeypatch.setattr(timeline_state, "Coverage", mutant)
    monkeypatch.setattr(checksums, "Coverage", mutant)
    with pytest.raises((AssertionError, BaseExceptionGroup)):
        run_state_machine_as_test(Knowing, settings=MUTANTS)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 40), st.integers(0, 8)), max_size=30))
def test_coverage_is_a_set_of_seqs(steps: list[tuple[bool, int, int]]) -> None:
    coverage, model = Coverage(), set[int]()
    for add, first, more in steps:
        seqs = set(range(first, first + more + 1))
        coverage = coverage.add(first, first + more) if add else coverage.remove(first, first + more)
        model = model | seqs if add else model - seqs
    held = {seq for interval in coverage for seq in range(interval.first, interval.last + 1)}
    assert held == model
    assert len(coverage) == len(model)
    missing = {seq for gap in coverage.missing(1, 50) for seq in range(gap.first, gap.last + 1)}
    assert missing == set(range(1, 51)) - model
    edges = coverage.intervals
    assert all(left.last + 1 < right.first for left, right in pairwise(edges))
    assert coverage == Coverage(edges)


def test_coverage_merges_adjacent_intervals_only() -> None:
    assert Coverage([(1, 4), (6, 9)]).intervals == (Interval(1, 4), Interval(6, 9))
    assert Coverage([(1, 4), (6, 9)]).add(5, 5).intervals == (Interval(1, 9),)
    with pytest.raises(ValueError, match="not an interval"):
        Coverage().add(0, 3)


@given(st.sets(st.integers(1, 30)))
def test_single_seqs_are_covered_as_their_intervals(members: set[int]) -> None:
    found = Coverage.of_seqs(members)
    assert found == Coverage([(seq, seq) for seq in members])
    assert {seq for seq in range(32) if seq in found} == members


def test_a_seq_below_1_is_refused() -> None:
    with pytest.raises(ValueError, match="not an interval of seqs"):
        Coverage.of_seqs([0, 1])

"""Tests of the accounting of messages from one sender to one receiver: lost, repeated and out of order."""

from __future__ import annotations

from timim.loadtest.accounting import SequenceTracker


def test_a_report_line_counts_lost_repeated_and_out_of_order() -> None:
    line = SequenceTracker()
    for number in (0, 1, 4, 2, 4, 5):
        line.record(number)
    assert (line.repeated, line.disordered) == (1, 1)
    assert line.lost_below(8, []) == {3, 6, 7}
    assert line.lost_below(8, [6, 7]) == {3}

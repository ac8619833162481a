"""Tests of RareLog: a flood of equal events is two lines, and other kinds are not left out."""

from __future__ import annotations

import logging

import pytest

from timim.util.rare_log import KEYS_LIMIT, RareLog


def test_a_flood_is_one_line_and_a_count(caplog: pytest.LogCaptureFixture) -> None:
    time = 10.0
    rare = RareLog(logging.getLogger("timim.server"), 60, now=lambda: time)
    with caplog.at_level(logging.INFO, "timim.server"):
        for _ in range(100):
            rare.write(logging.WARNING, "disk", "the disk is full")
        rare.write(logging.INFO, "peer", "cut a peer")
        time = 71.0
        rare.write(logging.WARNING, "disk", "the disk is full")
    assert [record.getMessage() for record in caplog.records] == [
        "the disk is full",
        "cut a peer",
        "the disk is full (99 more since the last such line)",
    ]


def test_kinds_are_bounded() -> None:
    rare = RareLog(logging.getLogger("timim.server"), 60)
    for number in range(3 * KEYS_LIMIT):
        rare.write(logging.DEBUG, str(number), "text")
    assert len(rare._kinds) <= KEYS_LIMIT

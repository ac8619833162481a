"""Tests of OutageLog: an outage is two lines, for any number of failed calls."""

from __future__ import annotations

import logging

import pytest

from timim.util.outage import OutageLog


def test_an_outage_is_two_lines_at_info(caplog: pytest.LogCaptureFixture) -> None:
    time = 10.0
    outage = OutageLog(logging.getLogger("timim.server"), "the media store", now=lambda: time)
    with caplog.at_level(logging.INFO, "timim.server"):
        outage.on_success()
        outage.on_failure("unexpected EOF")
        outage.on_failure("connection refused")
        time = 12.5
        outage.on_success()
        outage.on_success()
    assert [record.getMessage() for record in caplog.records] == [
        "lost the media store: unexpected EOF",
        "restored the media store after 2.5 s",
    ]

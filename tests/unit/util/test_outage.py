"""An outage is two log lines, however often its loss is noticed."""

from __future__ import annotations

import logging

import pytest

from timim.util.outage import OutageLog


def test_an_outage_is_two_lines(caplog: pytest.LogCaptureFixture) -> None:
    time = 10.0
    log = OutageLog(logging.getLogger("timim.outage"), "NATS", now=lambda: time)
    with caplog.at_level(logging.INFO, "timim.outage"):
        log.restored()
        log.lost("unexpected EOF")
        log.lost("connection refused")
        time = 12.5
        log.restored()
        log.restored()
    assert [record.getMessage() for record in caplog.records] == [
        "NATS: connection lost: unexpected EOF",
        "NATS: connection restored after 2.5 s",
    ]

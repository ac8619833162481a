"""OutageLog: two lines for an outage, however many calls fail."""

from __future__ import annotations

import logging

import pytest

from timim.util.outage import OutageLog


def test_an_outage_is_two_lines_at_info(caplog: pytest.LogCaptureFixture) -> None:
    outage = OutageLog(logging.getLogger("timim.server"), "the media store")
    with caplog.at_level(logging.INFO, "timim.server"):
        outage.on_success()
        outage.on_failure("connection refused")
        outage.on_failure("connection refused")
        outage.on_success()
        outage.on_success()
    lost, restored = (record.getMessage() for record in caplog.records)
    assert lost == "lost the media store: connection refused"
    assert restored.startswith("restored the media store after ")

"""Tests of the texts that `timim send` refuses before it connects."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from timim.cli.commands import app
from timim.cli.messages import INPUT_LIMIT_BYTES


@pytest.mark.parametrize(
    "given, reason",
    [(b"\xff", "not UTF-8 text (invalid start byte at byte 0)"), (bytes(INPUT_LIMIT_BYTES + 1), "too many for a message")],
    ids=["no text", "too long"],
)
def test_standard_input_that_is_no_text_is_refused(given: bytes, reason: str) -> None:
    result = CliRunner().invoke(app, ["send", "bob", "-", "--as", "alice"], input=given)
    assert result.exit_code == 1
    assert reason in result.output
    assert "send a file with --file" in result.output

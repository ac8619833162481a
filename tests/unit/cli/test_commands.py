"""Tests of the options of the `timim` command itself."""

from __future__ import annotations

import os
import sys

import pytest
from typer.testing import CliRunner

import timim
from timim.cli.commands import app, run
from timim.cli.console import OUTPUT_CLOSED


def test_version_and_completion() -> None:
    assert CliRunner().invoke(app, ["--version"]).output == f"timim {timim.__version__}\n"
    complete = {"_TIMIM_COMPLETE": "complete_bash", "COMP_WORDS": "timim hi", "COMP_CWORD": "1"}
    assert CliRunner().invoke(app, [], prog_name="timim", env=complete).output.split() == ["history"]


def test_help_without_a_reader_ends_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        monkeypatch.setattr(sys, "argv", ["timim", "--help"])
        with pytest.raises(SystemExit) as ended:
            run()
    assert ended.value.code == OUTPUT_CLOSED

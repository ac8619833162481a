"""Tests of the options of the `timim` command itself."""

from __future__ import annotations

from typer.testing import CliRunner

import timim
from timim.cli.commands import app


def test_version_and_completion() -> None:
    assert CliRunner().invoke(app, ["--version"]).output == f"timim {timim.__version__}\n"
    complete = {"_TIMIM_COMPLETE": "complete_bash", "COMP_WORDS": "timim hi", "COMP_CWORD": "1"}
    assert CliRunner().invoke(app, [], prog_name="timim", env=complete).output.split() == ["history"]

"""Tests of the options of the `timim` command itself."""

from __future__ import annotations

import os
import sys

import pytest
from typer.testing import CliRunner

import timim
from timim.cli import server
from timim.cli.commands import app
from timim.cli.console import OUTPUT_CLOSED
from timim.cli.main import main


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
            main()
    assert ended.value.code == OUTPUT_CLOSED


def test_serve_is_the_same_command_with_and_without_the_others() -> None:
    """Test that options, help and wrong use are equal, because `timim serve` does not load the other commands."""
    for words in (["serve", "--help"], ["serve", "--no-such-option"], ["serve", "--port", "x"]):
        alone, among_others = (CliRunner().invoke(each, words, prog_name="timim") for each in (server.app, app))
        assert (alone.exit_code, alone.output) == (among_others.exit_code, among_others.output)

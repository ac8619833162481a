"""`timim chat` without its extra, and without a terminal."""

from __future__ import annotations

import sys

import pytest
from typer.testing import CliRunner

from timim.cli.commands import app


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "textual" or name.startswith("timim.cli.tui")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "textual", None)  # importing it raises ModuleNotFoundError
    run = CliRunner().invoke(app, ["chat", "bob", "--as", "alice"])
    assert run.exit_code == 1
    assert run.stderr == 'timim: timim chat needs the package textual; run pip install "timim[tui]" (code 6017)\n'


def test_without_a_terminal_the_error_names_commands_for_scripts() -> None:
    run = CliRunner().invoke(app, ["chat", "bob", "--as", "alice"])
    assert run.exit_code == 1
    assert "needs a terminal; use timim send and timim tail" in run.stderr

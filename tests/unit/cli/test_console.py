"""Tests of the exit statuses and of errors that are printed as one line."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tests.support.paths import DOCS
from timim.cli import console
from timim.cli.commands import app


def test_an_error_that_is_no_error_of_timim_is_one_line_too(capfd: pytest.CaptureFixture[str]) -> None:
    async def work() -> None:
        raise RuntimeError("two\nlines")

    with pytest.raises(typer.Exit) as caught:
        console.run_command(work())
    assert caught.value.exit_code == console.FAILED
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("timim: internal error: RuntimeError: two lines; `timim -v`")


def test_the_reference_lists_each_exit_status() -> None:
    statuses = {console.FAILED, console.WRONG_USE, console.NOTHING_FOUND, console.INTERRUPTED, console.OUTPUT_CLOSED, os.EX_OK}
    text = (DOCS / "reference" / "cli.md").read_text(encoding="utf-8")
    assert {int(number) for number in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)} == statuses
    shown = " ".join(CliRunner().invoke(app, ["--help"], terminal_width=200).output.split())
    assert all(f"{number} " in shown.partition("Exit status:")[2] for number in statuses)


def test_the_reference_lists_each_type_of_object() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in Path(console.__file__).parent.glob("*.py"))
    printed = set(re.findall(r'(?:print_json|_report)\([^\n]*?\s*type="(\w+)"', source))
    text = (DOCS / "reference" / "cli.md").read_text(encoding="utf-8")
    section = text.partition("| type | commands | keys |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == printed

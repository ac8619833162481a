"""Tests that the reference pages have one row for each setting, event, command, option and metric of the code."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import typer

import timim
from tests.support.paths import DOCS
from timim.cli.commands import app
from timim.cli.options import AccountOptions
from timim.server.metrics import Metrics
from timim.server.settings import Settings
from tools import settings_page

REFERENCE = DOCS / "reference"
ROW = re.compile(r"^\| (`[^|]*`) \|(.*)\|$", re.MULTILINE)
NAME = re.compile(r"`([^`]+)`")
COMMAND = re.compile(r"^### timim (\S+(?: \S+)?)$", re.MULTILINE)


def rows(page: str) -> list[tuple[str, str]]:
    """Return the rows of the tables of a page: the name in the first cell, and the other cells."""
    return [(name, cells) for first, cells in ROW.findall(page) for name in NAME.findall(first)]


def page(name: str) -> str:
    return (REFERENCE / name).read_text(encoding="utf-8")


def shown(default: object) -> str:
    """Return the default of a setting as its row shows it, "" if the row explains the default in words."""
    if default is None or default == "":
        return ""
    return str(default).lower() if isinstance(default, bool) else str(default)


def setting_defaults() -> dict[str, str]:
    return {name: shown(field.default) for name, field in Settings.model_fields.items()}


def wrong_settings(text: str) -> set[str]:
    """Return the settings without a row, the rows without a setting, and the settings whose row shows another default."""
    defaults = setting_defaults()
    described = {name: cells.partition("|")[0].strip() for name, cells in rows(text)}
    differing = {
        name for name in described.keys() & defaults.keys() if defaults[name] and described[name] != f"`{defaults[name]}`"
    }
    return (described.keys() ^ defaults.keys()) | differing


def event_fields() -> dict[str, list[str]]:
    classes = [value for name in timim.__all__ if isinstance(value := getattr(timim, name), type)]
    events: list[Any] = [each for each in classes if issubclass(each, timim.ClientEvent) and each is not timim.ClientEvent]
    return {each.__name__: [field.name for field in dataclasses.fields(each)] for each in events}


def commands_in(group: Any, outer: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the commands of a group, and of the groups in it, with their names after `timim`."""
    for name, each in group.commands.items():
        if hasattr(each, "commands"):
            yield from commands_in(each, f"{outer}{name} ")
        else:
            yield outer + name, each


def command_options() -> dict[str, set[str]]:
    """Return the options of each command, without the options that all commands with an account share."""
    shared = {"--as", "--url", "--sig-file", "--app-id", "--data-dir", "--kept", "--json"}
    assert len(shared) == len(dataclasses.fields(AccountOptions))
    command = typer.main.get_command(app)
    found = {}
    for name, each in commands_in(command):
        options = {flag for option in each.params for flag in (*option.opts, *option.secondary_opts) if flag.startswith("--")}
        found[name] = options - shared if "--as" in options else options
    return found


def described_options(text: str) -> dict[str, set[str]]:
    parts = COMMAND.split(text)[1:]
    return {
        name: {flag for flag, _ in rows(section.partition("\n## ")[0]) if flag.startswith("--")}
        for name, section in zip(parts[::2], parts[1::2], strict=True)
    }


def test_each_setting_has_its_row_with_its_default() -> None:
    names = [name for name, _ in rows(page("settings.md"))]
    assert len(names) == len(set(names))
    assert wrong_settings(page("settings.md")) == set()


def test_the_rows_of_the_settings_are_those_of_the_model() -> None:
    text = page("settings.md")
    assert text == settings_page.page(text), "run .venv/bin/python tools/settings_page.py"


def test_each_setting_has_a_description() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_a_setting_without_row_and_a_wrong_default_are_detected() -> None:
    text = page("settings.md").replace("| `host` |", "| `hosts` |").replace("| `8700` |", "| `8701` |")
    assert wrong_settings(text) == {"host", "hosts", "port"}


def test_each_event_has_its_row_with_its_fields() -> None:
    described = {name: NAME.findall(cells.partition("|")[0]) for name, cells in rows(page("events.md"))}
    assert described == event_fields()


def test_each_command_and_option_has_its_row() -> None:
    assert described_options(page("cli.md")) == command_options()


def test_the_options_of_an_account_have_their_rows() -> None:
    section = page("cli.md").partition("## Options of an account")[2].partition("\n## ")[0]
    assert {name for name, _ in rows(section) if name.startswith("--")} == {
        "--as",
        "--url",
        "--sig-file",
        "--app-id",
        "--data-dir",
        "--kept",
        "--json",
    }


def test_an_option_without_row_is_detected() -> None:
    text = page("cli.md").replace("| `--storm` |", "| `--storms` |")
    assert described_options(text)["bench"] ^ command_options()["bench"] == {"--storm", "--storms"}


def test_each_row_of_the_metrics_is_a_metric() -> None:
    families = Metrics(bus=True, database=True).registry.collect()
    names = {family.name + ("_total" if family.type == "counter" else "") for family in families}
    assert {name for name, _ in rows(page("metrics.md"))} == names

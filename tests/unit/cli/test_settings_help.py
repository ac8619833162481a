"""Tests that the help of `timim serve` names every setting, and that the environment can give every setting."""

from __future__ import annotations

import re
import sys

import pytest
from typer.testing import CliRunner

from timim.cli.commands import app
from timim.server.settings import Settings

VALUES = {
    "app_id": "1400000007",
    "blobs": "file:///srv/content",
    "devices": "one",
    "log_level": "info",
    "trusted_proxies": "10.0.0.0/8",
    "push_url": "http://127.0.0.1:9/push",
    "webhook_commands": "State.StateChange",
    "webhook_url": "http://127.0.0.1:9/hook",
}


def other_value(name: str) -> str:
    """Return a value of a setting that is not its default, as a variable of the environment has it."""
    default = Settings.model_fields[name].default
    if isinstance(default, bool):
        return str(not default)
    return VALUES.get(name) or (str(default + 1) if isinstance(default, int | float) else "other")


def test_help_names_every_setting() -> None:
    shown = CliRunner().invoke(app, ["serve", "--help"]).output
    assert set(Settings.model_fields) - set(re.findall(r"\w+", shown)) == set()


def test_help_without_the_server_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timim.server.settings", None)
    result = CliRunner().invoke(app, ["serve", "--help"])
    assert result.exit_code == 0
    assert "pip install 'timim[server]'" in " ".join(result.output.split())


@pytest.mark.parametrize("name", Settings.model_fields)
def test_the_environment_gives_every_setting(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    value = other_value(name)
    monkeypatch.setenv(f"TIMIM_{name.upper()}", value)
    assert str(getattr(Settings(), name)) == value

"""Tests that `docs/reference/rest.md` lists each command that REST serves, and that each other command there is refused."""

from __future__ import annotations

import re

from tests.support.paths import DOCS
from timim.protocol.codec import BIG_GROUPS
from timim.server.handlers import ALL_HANDLERS

DOCUMENT = DOCS / "reference" / "rest.md"


def described(text: str) -> tuple[set[str], set[str]]:
    """Return the served and the refused commands of the page, as `service.command`."""
    served, _, refused = text.partition("## Served commands")[2].partition("## Refused commands")
    first = {name.replace("/", ".") for name in re.findall(r"^\| `(\w+/\w+)`", served, re.MULTILINE)}
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", refused, re.MULTILINE)
    return first, {f"{service}.{name}" for service, names in rows for name in re.findall(r"`(\w+)`", names)}


def served_names() -> set[str]:
    """Return the names of the served commands; the page describes the aliases for Community groups in one sentence."""
    commands = ALL_HANDLERS.rest_commands()
    aliases = {name for command in commands for name in command.aliases if not name.startswith(BIG_GROUPS + ".")}
    return {command.name for command in commands} | aliases


def test_every_served_command_is_described_as_served() -> None:
    assert described(DOCUMENT.read_text())[0] == served_names()


def test_every_refused_command_is_refused() -> None:
    refused = described(DOCUMENT.read_text())[1]
    assert len(refused) > 20
    assert [name for name in refused if ALL_HANDLERS.rest_command(name) is not None] == []


def test_a_command_without_description_is_found() -> None:
    text = DOCUMENT.read_text().replace("| `openim/sendmsg` |", "| |")
    assert served_names() - described(text)[0] == {"openim.sendmsg"}

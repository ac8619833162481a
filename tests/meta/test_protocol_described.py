"""Tests that `docs/reference/wire_protocol.md` names every command and every field of the wire."""

from __future__ import annotations

import importlib
import pkgutil

import msgspec

import timim.protocol
from tests.support.paths import DOCS
from timim.protocol.codec import Command

DOCUMENT = DOCS / "reference" / "wire_protocol.md"


def undescribed(text: str) -> list[str]:
    """Return the commands and fields of timim.protocol that do not appear in `text` in backticks."""
    names: set[str] = set()
    for module in pkgutil.iter_modules(timim.protocol.__path__):
        for thing in vars(importlib.import_module(f"timim.protocol.{module.name}")).values():
            if isinstance(thing, Command):
                names.add(thing.name)
            elif (
                isinstance(thing, type) and issubclass(thing, msgspec.Struct) and thing.__module__.startswith("timim.protocol.")
            ):
                names |= {field.encode_name for field in msgspec.structs.fields(thing)}
    return sorted(name for name in names if f"`{name}`" not in text)


def test_every_command_and_field_is_described() -> None:
    assert undescribed(DOCUMENT.read_text()) == []


def test_a_command_without_description_is_found() -> None:
    text = DOCUMENT.read_text().replace("`openim.sendmsg`", "").replace("`TimelineSeq`", "")
    assert undescribed(text) == ["TimelineSeq", "openim.sendmsg"]

"""Tests of the OpenAPI description: every command that REST serves is in it, with every field of its bodies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from timim.protocol.codec import Command, Reply
from timim.server.endpoints.openapi import openapi
from timim.server.handlers import ALL_HANDLERS
from timim.server.handlers.registry import HandlerRegistry

COMMANDS = ALL_HANDLERS.rest_commands()


@pytest.fixture(scope="module")
def description() -> dict[str, Any]:
    return openapi(ALL_HANDLERS)


def refs(tree: Any) -> Iterator[str]:
    match tree:
        case {"$ref": str(ref)}:
            yield ref
        case dict():
            for member in tree.values():
                yield from refs(member)
        case list():
            for member in tree:
                yield from refs(member)
        case _:
            pass


def resolved(description: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema, or the one that it refers to."""
    found: dict[str, Any] = schema
    if "$ref" in schema:
        found = description["components"]["schemas"][schema["$ref"].removeprefix("#/components/schemas/")]
    return found


def body_of(description: dict[str, Any], name: str) -> dict[str, Any]:
    operation = description["paths"]["/v4/" + name.replace(".", "/")]["post"]
    return resolved(description, operation["requestBody"]["content"]["application/json"]["schema"])


def reply_of(description: dict[str, Any], name: str) -> dict[str, Any]:
    operation = description["paths"]["/v4/" + name.replace(".", "/")]["post"]
    return resolved(description, operation["responses"]["200"]["content"]["application/json"]["schema"])


def undescribed(description: dict[str, Any], commands: list[Command[Any, Any]]) -> list[str]:
    """Return the commands and fields that are not in the description."""
    missing: list[str] = []
    for command in commands:
        for name in (command.name, *command.aliases):
            if not description["paths"].get("/v4/" + name.replace(".", "/"), {}).get("post", {}).get("summary"):
                missing.append(name)
                continue
            for model, shown in ((command.body, body_of(description, name)), (command.reply, reply_of(description, name))):
                known = set(shown.get("properties", ()))
                missing += [f"{name} {f.encode_name}" for f in msgspec.structs.fields(model) if f.encode_name not in known]
    return missing


def test_every_command_and_field_is_described(description: dict[str, Any]) -> None:
    assert len(description["paths"]) > 40
    assert undescribed(description, COMMANDS) == []


def test_a_command_that_is_not_described_is_found(description: dict[str, Any]) -> None:
    novelty = Command("openim.novelty", COMMANDS[0].body, Reply)
    assert undescribed(description, [novelty]) == ["openim.novelty"]


def test_every_reference_leads_to_a_schema(description: dict[str, Any]) -> None:
    names = {ref.removeprefix("#/components/schemas/") for ref in refs(description)}
    assert names
    assert names <= set(description["components"]["schemas"])


def test_other_names_and_required_fields_are_described(description: dict[str, Any]) -> None:
    assert {"ShutUpTime", "MuteTime"} <= set(body_of(description, "group_open_http_svc.forbid_send_msg")["properties"])
    assert {"MsgRandom", "To_Account", "MsgBody"} <= set(body_of(description, "openim.sendmsg")["required"])
    imported = body_of(description, "im_open_login_svc.account_import")
    assert imported["allOf"] == [{"anyOf": [{"required": ["UserID"]}, {"required": ["Identifier"]}]}]
    assert "required" not in imported


def test_a_registry_without_rest_has_no_paths() -> None:
    assert openapi(HandlerRegistry())["paths"] == {}

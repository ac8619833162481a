"""OpenAPI description of the REST API, made from the declarations of its commands and the models of their bodies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ...protocol.codec import Command, Reply
from ..handlers.registry import HandlerRegistry

VERSION = "3.1.0"
_REF = "#/components/schemas/{name}"
_PARAMETERS = (
    ("sdkappid", True, "App id of the server"),
    ("identifier", True, "User id of an administrator"),
    ("usersig", True, "Signature of the administrator"),
    ("random", False, "Number without a meaning"),
    ("contenttype", False, "Always json"),
)


def openapi(handlers: HandlerRegistry) -> dict[str, Any]:
    """Return the OpenAPI 3.1 description of the commands that REST serves, with their aliases.

    A path has the other names of the fields of its request and reply; `docs/reference/rest.md` lists those of their items.
    """
    commands = handlers.rest_commands()
    models = [model for command in commands for model in (command.body, command.reply)]
    schemas, components = msgspec.json.schema_components([Reply, *models], ref_template=_REF)
    shown = iter(schemas[1:])
    paths: dict[str, Any] = {}
    for command in commands:
        body = _renamed(next(shown), command, components, command.required)
        reply = _renamed(next(shown), command, components)
        for name in (command.name, *command.aliases):
            text = handlers.served[command.name][1].__doc__ or ""
            paths["/v4/" + name.replace(".", "/")] = {"post": _operation(name, text, body, reply)}
    return {
        "openapi": VERSION,
        "info": {"title": "timim", "version": "4", "description": "Tencent Chat's server API, as a timim server has it."},
        "paths": paths,
        "components": {"schemas": components},
    }


def _operation(name: str, text: str, body: dict[str, Any], reply: dict[str, Any]) -> dict[str, Any]:
    parameters = [
        {"name": key, "in": "query", "required": required, "description": text, "schema": {"type": "string"}}
        for key, required, text in _PARAMETERS
    ]
    return {
        "operationId": name,
        "summary": text.partition("\n")[0],
        "tags": [name.partition(".")[0]],
        "parameters": parameters,
        "requestBody": {"content": {"application/json": {"schema": body}}},
        "responses": {
            "200": {"description": "Success or refusal, by ErrorCode", "content": {"application/json": {"schema": reply}}},
        },
    }


def _renamed(
    schema: dict[str, Any], command: Command[Any, Any], components: dict[str, Any], demanded: Sequence[str] = ()
) -> dict[str, Any]:
    """Return a schema with the other names of the command's fields, and with the fields that its requests must have."""
    known = components[schema["$ref"].rpartition("/")[2]]
    fields: dict[str, Any] = known.get("properties", {})
    others = {other: fields[name] for name, other in command.renamed.items() if name in fields}
    either = [name for name in command.renamed if name in known.get("required", ())]
    needed = [name for name in demanded if name in fields]
    if not others and not needed:
        return schema
    required = [name for name in known.get("required", ()) if name not in either]
    whole = known | {"properties": fields | others, "required": [*required, *needed]}
    if either:
        whole["allOf"] = [{"anyOf": [{"required": [name]}, {"required": [command.renamed[name]]}]} for name in either]
    return {key: value for key, value in whole.items() if key != "required" or value}

"""Requests that the OpenAPI description allows: each reply has HTTP status 200 and the described form, and no internal error.

The requests are drawn from the schemas of the description, with a fixed seed.
"""

from __future__ import annotations

import asyncio
import json
from random import Random
from typing import Any

import pytest

from tests.support.request_fields import MEMBER, PEER, SELF, VALID
from tests.support.rest import RestClient
from timim.server.endpoints.openapi import openapi
from timim.server.handlers import ALL_HANDLERS
from timim.testing import RunningServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

DOCUMENT = openapi(ALL_HANDLERS)
PATHS = sorted(path for path in DOCUMENT["paths"] if "million_group" not in path)
SCHEMAS = DOCUMENT["components"]["schemas"]
INTERNAL = 60002
SEED = 20261128
AT_ONCE = 20
REQUESTS = 600
GROUP = "described"
NAMES = [SELF, PEER, MEMBER, GROUP, "nobody", "", "\0", "\u4e2d" * 40]
NUMBERS = [0, 1, 2, 5, -1, 1 << 31, (1 << 32) - 1, 1_700_000_000, 1 << 62, -(1 << 62)]
LEAVES: list[Any] = [None, True, 0, 1.5, "", "x", [], {}]
ITEMS_LIMIT, DEPTH_LIMIT = 3, 4


def schema_of(path: str, part: str) -> dict[str, Any]:
    """Return the schema of the request or the reply of a path."""
    operation = DOCUMENT["paths"][path]["post"]
    owner = operation["requestBody"] if part == "request" else operation["responses"]["200"]
    schema: dict[str, Any] = owner["content"]["application/json"]["schema"]
    return schema


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    known: dict[str, Any] = SCHEMAS[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    return known


def drawn(random: Random, schema: dict[str, Any], name: str = "", depth: int = 0) -> Any:
    """Return a value that a schema allows; that of a field is often a valid one for its name."""
    schema = resolved(schema)
    if "anyOf" in schema:
        return drawn(random, random.choice(schema["anyOf"]), name, depth)
    if "enum" in schema:
        return random.choice(schema["enum"])
    match schema.get("type"):
        case "object" if "properties" in schema:
            return drawn_object(random, schema, depth)
        case "object" | "null" | "boolean" | "number" as kind:
            return {"object": {}, "null": None, "boolean": random.random() < 0.5, "number": random.random() * 9}[kind]
        case "array":
            least, most = schema.get("minItems", 0), min(schema.get("maxItems", ITEMS_LIMIT), ITEMS_LIMIT)
            count = random.randint(least, most) if depth < DEPTH_LIMIT else least
            return [drawn(random, schema.get("items", {}), name, depth + 1) for _ in range(count)]
        case "string":
            return GROUP if name == "GroupId" and random.random() < 0.8 else usual(random, name, str, NAMES)
        case "integer":
            low, high = schema.get("minimum", -(1 << 62)), schema.get("maximum", 1 << 62)
            return usual(random, name, int, [number for number in NUMBERS if low <= number <= high])
        case _:
            return VALID[name] if name in VALID and random.random() < 0.8 else random.choice(LEAVES)


def usual(random: Random, name: str, kind: type, others: list[Any]) -> Any:
    """Return a valid value for the name of a field, or one of the others."""
    known = VALID.get(name)
    return known if isinstance(known, kind) and random.random() < 0.7 else random.choice(others)


def drawn_object(random: Random, schema: dict[str, Any], depth: int) -> dict[str, Any]:
    required = set(schema.get("required", ()))
    for one in schema.get("allOf", ()):
        required |= set(random.choice(one["anyOf"])["required"])
    wanted = [name for name in schema["properties"] if name in required or random.random() < 0.5]
    return {name: drawn(random, schema["properties"][name], name, depth + 1) for name in wanted}


def undescribed(path: str, reply: dict[str, Any]) -> list[str]:
    """Return the faults of a reply by the description of its command."""
    import jsonschema  # type: ignore[import-untyped]  # takes 2 s, and each worker imports this file

    whole = schema_of(path, "reply") | {"components": DOCUMENT["components"]}
    return [error.message for error in jsonschema.Draft202012Validator(whole).iter_errors(reply)]


async def prepare(rest: RestClient) -> None:
    """Make the users and the group, which requests may have deleted."""
    await rest.done("im_open_login_svc/multiaccount_import", {"Accounts": [SELF, PEER, MEMBER]})
    body = {"Type": "Public", "Name": "g", "GroupId": GROUP, "Owner_Account": SELF, "MemberList": [{"Member_Account": MEMBER}]}
    await rest.call("group_open_http_svc/create_group", body)


@pytest.mark.requirement("R10")
async def test_each_described_request_has_a_described_reply(shared_server: RunningServer) -> None:
    random, faults, answered = Random(SEED), [], set()
    async with RestClient(shared_server) as rest:
        for begin in range(0, REQUESTS, AT_ONCE):
            await prepare(rest)
            paths = [PATHS[number % len(PATHS)] for number in range(begin, begin + AT_ONCE)]
            asked = [(path, drawn(random, schema_of(path, "request"))) for path in paths]
            replies = await asyncio.gather(*(rest.call(path.removeprefix("/v4/"), body) for path, body in asked))
            for (path, body), reply in zip(asked, replies, strict=True):
                if (wrong := undescribed(path, reply)) or reply["ErrorCode"] == INTERNAL:
                    faults.append((path, json.dumps(body), wrong or reply))
                if not reply["ErrorCode"]:
                    answered.add(path)
    assert faults == []
    assert len(answered) > len(PATHS) / 2  # the requests are not all refused


def limited() -> list[tuple[str, str, int]]:
    """Return the lists of requests with a limit, by their paths and names."""
    found = []
    for path in PATHS:
        fields = resolved(schema_of(path, "request"))["properties"]
        found += [(path, name, field["maxItems"]) for name, field in fields.items() if "maxItems" in field]
    return found


def shortest(name: str, schema: dict[str, Any]) -> Any:
    """Return a value of a field with no more than the required members."""
    schema = resolved(schema)
    match schema.get("type"):
        case "object":
            return {key: shortest(key, schema["properties"][key]) for key in schema.get("required", ())}
        case "string":
            return ""
        case "integer":
            return 1
        case _:
            return VALID.get(name, 1)


@pytest.mark.parametrize("path, name, most", limited())
async def test_a_list_over_its_declared_limit_is_refused_with_the_limit(
    shared_server: RunningServer, path: str, name: str, most: int
) -> None:
    schema = resolved(schema_of(path, "request"))
    item = schema["properties"][name]["items"]
    fields = resolved(item)
    texts = {key for key in fields.get("required", ()) if fields["properties"][key].get("type") == "string"}
    one = {key: shortest(key, fields["properties"][key]) for key in fields.get("required", ())}
    numbers = fields.get("type") == "integer"
    items = [one | dict.fromkeys(texts, f"u{n}") if one else n if numbers else f"u{n}" for n in range(most + 1)]
    required = [*schema.get("required", ()), *(some["anyOf"][0]["required"][0] for some in schema.get("allOf", ()))]
    body: dict[str, Any] = {key: VALID.get(key, 1) for key in required}
    body |= {key: "CheckResult_Type_Single" for key in schema["properties"] if key == "CheckType"}
    body |= {"GroupId": GROUP, name: items} if "GroupId" in schema["properties"] else {name: items}
    async with RestClient(shared_server) as rest:
        await prepare(rest)
        reply = await rest.call(path.removeprefix("/v4/"), body)
    assert reply["ErrorCode"]
    assert str(most) in reply["ErrorInfo"], reply


async def test_an_undescribed_reply_is_found() -> None:
    assert undescribed("/v4/openim/sendmsg", {"ErrorCode": "none"})
    assert undescribed("/v4/openim/query_online_status", {"QueryResult": [{"To_Account": "a"}]})
    assert not undescribed("/v4/openim/sendmsg", {"ErrorCode": 0, "ActionStatus": "OK", "ErrorInfo": "", "MsgTime": 7})

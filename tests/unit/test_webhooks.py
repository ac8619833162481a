"""Tests of `timim.webhooks`: signatures, ages, typed events, and the route of a back end."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette

from timim import InvalidArgument, webhooks
from timim.protocol.callbacks import CALLBACKS

TOKEN = "xxxxyyyy"


def signed(
    body: dict[str, Any], *, token: str = TOKEN, at: int = 1_669_872_112
) -> tuple[dict[str, str], bytes, dict[str, str]]:
    """Return the query, the body and the headers of a call, made from section 1 of the description alone."""
    content = json.dumps(body).encode()
    sign = hashlib.sha256(f"{token}{at}".encode()).hexdigest()
    query = {"SdkAppid": "1", "CallbackCommand": body.get("CallbackCommand", ""), "ClientIP": "192.0.2.1", "OptPlatform": "Web"}
    query |= {"RequestTime": str(at), "Sign": sign}
    header = hmac.new(token.encode(), f"{at}\n".encode() + content, hashlib.sha256).hexdigest()
    return query, content, {"timim-signature": header}


CREATED = {"CallbackCommand": "Group.CallbackAfterCreateGroup", "GroupId": "g", "MemberList": [{"Member_Account": "a"}]}


def test_tencents_test_value_of_a_signature_is_accepted() -> None:
    query, body, headers = signed(CREATED)
    assert query["Sign"] == "17773bc39a671d7b9aa835458704d2a6db81360a5940292b587d6d760d484061"
    webhooks.verify(query, body, headers, token=TOKEN, app_id=1, now=1_669_872_150.0)
    webhooks.verify(query, body, {}, token=TOKEN, app_id=1, now=1_669_872_150.0)


@pytest.mark.parametrize(
    "changed, why",
    [
        ({"query": {"Sign": "0" * 64}}, "Sign is wrong"),
        ({"query": {"RequestTime": "1669872113"}}, "Sign is wrong"),
        ({"query": {"RequestTime": "x"}}, "RequestTime"),
        ({"query": {"SdkAppid": "2"}}, "SdkAppid"),
        ({"body": b"{}"}, "does not fit the body"),
        ({"now": 1_669_872_112.0 + 61}, "older than 60 s"),
    ],
)
def test_a_call_of_somebody_else_is_rejected(changed: dict[str, Any], why: str) -> None:
    query, body, headers = signed(CREATED)
    with pytest.raises(webhooks.WebhookRejected, match=why):
        webhooks.verify(
            query | changed.get("query", {}),
            changed.get("body", body),
            headers,
            token=TOKEN,
            app_id=1,
            now=changed.get("now", 1_669_872_112.0),
        )


def test_each_callback_has_a_class() -> None:
    fields = {
        "From_Account": "a",
        "To_Account": "b",
        "Report_Account": "a",
        "Peer_Account": "b",
        "Info": {"Action": "Login", "To_Account": "a", "Reason": "Register"},
    }
    for command in CALLBACKS:
        event = webhooks.parse({"ClientIP": "192.0.2.1"}, json.dumps({"CallbackCommand": command, **fields}).encode())
        assert type(event) is not webhooks.WebhookEvent, command
        assert (event.command, event.client_ip) == (command, "192.0.2.1")


def test_events_have_typed_values() -> None:
    event = webhooks.parse({}, json.dumps(CREATED).encode())
    assert isinstance(event, webhooks.GroupEvent)
    assert (event.group_id, event.members) == ("g", ["a"])
    with pytest.raises(InvalidArgument, match="invalid"):
        webhooks.parse({}, b"[]")


async def test_the_route_answers_verified_calls_only() -> None:
    async def on_event(event: webhooks.WebhookEvent) -> webhooks.WebhookAnswer:
        return webhooks.WebhookAnswer(error_code=120_001, error_info=event.command)

    app = Starlette(routes=[webhooks.starlette_route("/hook", on_event, token=TOKEN, app_id=1)])
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://back.end") as http:
        query, body, headers = signed(CREATED, at=int(time.time()))
        answered = await http.post("/hook", params=query, content=body, headers=headers)
        assert (answered.status_code, answered.json()["ErrorCode"]) == (200, 120_001)
        refused = await http.post("/hook", params=query, content=body + b" ", headers=headers)
        assert refused.status_code == 403
    with pytest.raises(InvalidArgument, match="token"):
        webhooks.starlette_route("/hook", on_event, token="")

"""Tests of the rates of REST requests: of one administrator, and of all administrators together."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.rest import RestClient, text
from timim.testing import EventRecorder, running_server

CHECK = "im_open_login_svc/account_check"


async def refusals(rest: RestClient, number: int) -> list[dict[str, Any]]:
    """Make requests at once, and return the replies that refuse one."""
    body = {"CheckItem": [{"UserID": "administrator"}]}
    replies = await asyncio.gather(*(rest.call(CHECK, body) for _ in range(number)))
    return [reply for reply in replies if reply["ErrorCode"]]


@pytest.mark.parametrize(
    "setting, code, other_too", [("rest_requests_per_s", 60007, False), ("rest_app_requests_per_s", 60011, True)]
)
async def test_requests_over_a_rate_are_refused_until_the_time_to_wait_is_over(
    setting: str, code: int, other_too: bool
) -> None:
    options: dict[str, Any] = {setting: 4, "user_burst_s": 1, "admins": "second"}
    async with running_server(**options) as server, RestClient(server) as rest, RestClient(server, admin="second") as other:
        refused = await refusals(rest, 12)
        assert {reply["ErrorCode"] for reply in refused} == {code}
        assert 6 <= len(refused) <= 8
        assert all(0 < reply["RetryAfter"] <= 1 for reply in refused)
        assert bool(await refusals(other, 1)) == other_too
        assert (await rest.call(CHECK, {}, usersig="wrong"))["ErrorCode"] == 70003
        async with server.client("bob") as bob:
            received = EventRecorder(bob)
            sent = {"To_Account": "bob", "MsgRandom": 1, "MsgBody": text("after the pause")}
            while reply := await rest.call("openim/sendmsg", sent):
                if not reply["ErrorCode"]:
                    break
                await asyncio.sleep(reply["RetryAfter"])
            await received.wait_for_message(lambda m: m.text == "after the pause")
            assert len(received.messages) == 1

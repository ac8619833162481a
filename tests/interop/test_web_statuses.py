"""Tests of user statuses between Tencent's web client and a timim client, in both directions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.interop.webclient import WebClient, web_client
from timim import StatusChanged, UserStatus
from timim.testing import EventRecorder, RunningServer, running_server

pytestmark = pytest.mark.judge
ONLINE, OFFLINE = 1, 2


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RunningServer]:
    async with running_server(data_dir=tmp_path / "server") as running:
        await running.add_users("bob")
        yield running


@pytest.fixture
async def alice(server: RunningServer) -> AsyncIterator[WebClient]:
    async with web_client(server, "alice") as web:
        await web.login()
        yield web


def status(user: str, kind: int, text: str = "") -> dict[str, object]:
    return {"userID": user, "statusType": kind, "customStatus": text}


async def test_statuses_pass_both_ways(server: RunningServer, alice: WebClient) -> None:
    bob, own = server.client("bob"), server.client("alice")
    heard, seen = EventRecorder(bob, StatusChanged), EventRecorder(own, StatusChanged)
    asked = {"userIDList": ["bob", "nobody"]}
    async with own:
        failed = (await alice.call("subscribeUserStatus", asked))["failureUserList"]
        assert [(one["userID"], one["code"]) for one in failed] == [("nobody", 20003)]
        reply = await alice.call("getUserStatus", asked)
        assert reply["successUserList"] == [status("bob", OFFLINE)]
        assert [one["userID"] for one in reply["failureUserList"]] == ["nobody"]
        async with bob:
            await alice.told("onUserStatusUpdated", lambda data: data == [status("bob", ONLINE)])
            await bob.statuses.subscribe(["alice"])
            await bob.statuses.set("在开会")
            await alice.told("onUserStatusUpdated", lambda data: data == [status("bob", ONLINE, "在开会")])
            assert (await alice.call("getUserStatus", asked))["successUserList"] == [status("bob", ONLINE, "在开会")]
            assert await alice.call("setSelfStatus", {"customStatus": "食べる"}) == status("alice", ONLINE, "食べる")
            changed = StatusChanged("alice", True, "食べる")
            assert (
                await heard.wait_for_event(StatusChanged) == await seen.wait_for_event(StatusChanged, changed.__eq__) == changed
            )
            assert await bob.statuses.get(["alice"]) == {"alice": UserStatus("alice", True, "食べる")}
        await alice.told("onUserStatusUpdated", lambda data: data == [status("bob", OFFLINE)])
        await alice.call("unsubscribeUserStatus", {"userIDList": ["bob"]})
        await alice.call("unsubscribeUserStatus")
        alice.events.clear()
        async with bob:
            await own.statuses.set("")
            await alice.told("onUserStatusUpdated", lambda data: data == [status("alice", ONLINE)])
        assert "bob" not in str([e for e in alice.events if e["event"] == "onUserStatusUpdated"])

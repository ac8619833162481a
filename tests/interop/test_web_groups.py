"""Tests of counters, pinned messages, attributes and applications of groups between the web client and timim's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.webclient import WebClient, the, web_client
from timim import GroupCountersChanged, GroupNoticeReceived, GroupPinChanged
from timim.testing import EventRecorder, RunningServer, running_server

pytestmark = pytest.mark.judge


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RunningServer]:
    async with running_server(data_dir=tmp_path / "server") as running:
        await running.add_users("bob", "carol")
        yield running


@pytest.fixture
async def alice(server: RunningServer) -> AsyncIterator[WebClient]:
    async with web_client(server, "alice") as web:
        await web.login()
        yield web


async def test_counters_pass_both_ways(server: RunningServer, alice: WebClient) -> None:
    bob = server.client("bob")
    heard = EventRecorder(bob, GroupCountersChanged)
    async with bob:
        group = await bob.groups.create("Public", name="team", members=["alice"])
        await alice.told("onGroupListUpdated", lambda groups: len(groups) == 1)
        await alice.call("setGroupCounters", {"groupID": group.id, "counters": {"likes": 3, "gifts": 1}})
        event = await heard.wait_for_event(GroupCountersChanged)
        assert (event.group_id, dict(event.counters), event.user) == (group.id, {"likes": 3, "gifts": 1}, "alice")
        assert await group.counters.increase("likes", 4) == 7
        shown = await alice.told("onGroupCounterUpdated", lambda data: data["key"] == "likes" and data["value"] == 7)
        assert shown["groupID"] == group.id
        await alice.call("increaseGroupCounter", {"groupID": group.id, "key": "likes", "value": 2})
        await alice.call("decreaseGroupCounter", {"groupID": group.id, "key": "gifts", "value": 5})
        await heard.wait_for_event(GroupCountersChanged, lambda e: dict(e.counters) == {"gifts": -4})
        assert await group.counters.get() == {"likes": 9, "gifts": -4}
        assert (await alice.call("getGroupCounters", {"groupID": group.id}))["counters"] == {"likes": 9, "gifts": -4}


def texts(web: WebClient) -> dict[str, str]:
    """Return the ids of the texts that a web client has received."""
    received = [m for e in web.events if e["event"] == "onMessageReceived" for m in e["data"]]
    return {m["payload"]["text"]: m["ID"] for m in received if m["type"] == "TIMTextElem"}


async def test_pinned_messages_pass_both_ways(server: RunningServer, alice: WebClient) -> None:
    bob = server.client("bob")
    heard = EventRecorder(bob, GroupPinChanged)
    async with bob:
        group = await bob.groups.create("Public", name="team", members=["alice"])
        await group.set_role("alice", "Admin")
        sent = await group.conversation.send("the rules")
        await alice.until(lambda: "the rules" in texts(alice))
        message_id = texts(alice)["the rules"]
        await alice.call("pinGroupMessage", {"groupID": group.id, "message": the(message_id), "isPinned": True})
        event = await heard.wait_for_event(GroupPinChanged)
        assert (event.group_id, event.seq, event.pinned, event.user) == (group.id, sent.seq, True, "alice")
        assert [(pin.seq, pin.user) for pin in await group.pins.list()] == [(sent.seq, "alice")]
        await group.pins.remove(sent.seq)
        gone = await alice.told("onPinnedGroupMessageUpdated", lambda data: not data["isPinned"])
        assert (gone["groupID"], gone["message"]["ID"], gone["operatorInfo"]["userID"]) == (group.id, message_id, "bob")
        other = await group.conversation.send("more rules")
        await group.pins.add(other.seq)
        shown = await alice.told(
            "onPinnedGroupMessageUpdated", lambda data: data["isPinned"] and data["operatorInfo"]["userID"] == "bob"
        )
        assert shown["message"]["payload"]["text"] == "more rules"
        async with web_client(server, "alice") as fresh:
            await fresh.login()
            listed = (await fresh.call("getPinnedGroupMessageList", group.id))["messageList"]
            assert [m["payload"]["text"] for m in listed] == ["more rules"]


async def test_attributes_pass_both_ways(server: RunningServer, alice: WebClient) -> None:
    async with server.client("bob") as bob:
        group = await bob.groups.create("Public", name="team", members=["alice"])
        await group.set_role("alice", "Admin")
        named: dict[str, Any] = {"groupID": group.id}
        await alice.call("initGroupAttributes", named | {"groupAttributes": {"colour": "red", "size": "big"}})
        assert await group.attributes() == {"colour": "red", "size": "big"}
        await alice.call("setGroupAttributes", named | {"groupAttributes": {"colour": "blue"}})
        await alice.call("deleteGroupAttributes", named | {"keyList": ["size"]})
        assert await group.attributes() == {"colour": "blue"}
        await group.set_attributes({"shape": "round"})
        shown = await alice.told("groupAttributesUpdated", lambda data: "shape" in data["groupAttributes"])
        assert shown["groupAttributes"] == {"colour": "blue", "shape": "round"}
        assert (await alice.call("getGroupAttributes", named | {"keyList": []}))["groupAttributes"] == shown["groupAttributes"]


async def test_applications_are_listed_and_answered_on_the_web(server: RunningServer, alice: WebClient) -> None:
    bob = server.client("bob")
    heard = EventRecorder(bob, GroupNoticeReceived)
    async with bob, server.client("carol") as carol:
        group_id = await alice.do("createGroup", type="Public", name="team")
        assert not await bob.groups.join(group_id, wording="let me in")
        assert not await carol.groups.join(group_id, wording="me too")
        listed = (await alice.call("getGroupApplicationList"))["applicationList"]
        facts = [(one["applicant"], one["groupID"], one["groupName"], one["note"]) for one in listed]
        assert facts == [("bob", group_id, "team", "let me in"), ("carol", group_id, "team", "me too")]
        for application, action in zip(listed, ("Agree", "Reject"), strict=True):
            answer = {"handleAction": action, "application": application, "handleMessage": "so"}
            await alice.call("handleGroupApplication", answer)
        await heard.wait_for_event(GroupNoticeReceived, lambda e: e.group_id == group_id)
        assert [m.user_id for m in await bob.groups.of(group_id).members()] == ["alice", "bob"]
        assert (await alice.call("getGroupApplicationList"))["applicationList"] == []
        assert (await alice.call("getGroupOnlineMemberCount", group_id))["memberCount"] == 2


async def test_members_are_read_and_changed_on_the_web(server: RunningServer, alice: WebClient) -> None:
    async with server.client("bob") as bob:
        group = await bob.groups.create("Public", name="team", members=["alice"])
        await alice.told("onGroupListUpdated", lambda groups: len(groups) == 1)
        query = {"groupID": group.id, "userIDList": ["bob"]}
        (shown,) = (await alice.call("getGroupMemberProfile", query))["memberList"]
        assert (shown["userID"], shown["role"]) == ("bob", "Owner")
        found = (await alice.call("searchGroupByID", group.id))["group"]
        assert (found["groupID"], found["name"], found["ownerID"]) == (group.id, "team", "bob")
        fields = {"groupID": group.id, "userID": "alice", "memberCustomField": [{"key": "team", "value": "blue"}]}
        await alice.call("setGroupMemberCustomField", fields)
        (member,) = [m for m in await group.members() if m.user_id == "alice"]
        assert dict(member.custom) == {"team": "blue"}

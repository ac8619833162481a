"""Tests of profiles, friends, groups and notices between Tencent's web client and a timim client, in both directions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.interop.webclient import WebClient, WebError, web_client
from timim import Blacklisted, GroupChanged, GroupNoticeReceived, Muted, ProfileChanged, RelationChanged, RelationType
from timim.testing import EventRecorder, RunningServer, running_server

pytestmark = pytest.mark.judge
SYSTEM = "@TIM#SYSTEM"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RunningServer]:
    async with running_server(data_dir=tmp_path / "server") as running:
        yield running


@pytest.fixture
async def alice(server: RunningServer) -> AsyncIterator[WebClient]:
    await server.add_users("bob", "carol")
    async with web_client(server, "alice") as web:
        await web.login()
        yield web


async def told(web: WebClient, event: str, holds: Callable[[Any], bool]) -> None:
    """Wait until the web client reports an event of this name whose data match."""
    await web.until(lambda: any(e["event"] == event and holds(e["data"]) for e in web.events))


async def shown(web: WebClient, where: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait for a message of this conversation that matches, and return the first one that the web client reported."""

    def found() -> list[dict[str, Any]]:
        heard = [m for e in web.events if e["event"] == "onMessageReceived" for m in e["data"]]
        return [m for m in heard if m["conversationID"] == where and holds(m)]

    await web.until(lambda: bool(found()))
    return found()[0]


def tip(kind: int) -> Callable[[dict[str, Any]], bool]:
    return lambda m: m["type"] == "TIMGroupTipElem" and m["payload"]["operationType"] == kind


async def test_a_group_made_by_timim_is_seen_on_the_web_until_it_is_dissolved(server: RunningServer, alice: WebClient) -> None:
    async with server.client("bob") as bob:
        group = await bob.groups.create("Public", name="team", members=["alice"])
        where = f"GROUP{group.id}"
        await told(alice, "onGroupListUpdated", lambda groups: [g["groupID"] for g in groups] == [group.id])
        invited = await shown(alice, SYSTEM, lambda m: m["payload"]["groupProfile"]["groupID"] == group.id)
        assert invited["payload"]["operationType"] == 7
        await group.invite("carol")
        joined = await shown(alice, where, tip(1))
        assert joined["payload"]["userIDList"] == ["carol"]
        await group.set_info(name="crew")
        renamed = await shown(alice, where, tip(6))
        assert renamed["payload"]["newGroupProfile"]["groupName"] == "crew"
        assert (await alice.do("group", groupID=group.id))["name"] == "crew"
        await group.set_role("carol", "Admin")
        assert (await shown(alice, where, tip(4)))["payload"]["userIDList"] == ["carol"]
        members = {m["userID"]: m["role"] for m in await alice.do("members", groupID=group.id, count=30, offset=0)}
        assert members == {"bob": "Owner", "alice": "Member", "carol": "Admin"}
        await group.kick("carol")
        assert (await shown(alice, where, tip(3)))["payload"]["userIDList"] == ["carol"]
        await group.dissolve()
        await shown(alice, SYSTEM, lambda m: m["payload"]["operationType"] == 5)
        await told(alice, "onGroupListUpdated", lambda groups: groups == [])
        assert await alice.do("groups") == []


async def test_a_kicked_web_user_is_notified_and_loses_the_group(server: RunningServer, alice: WebClient) -> None:
    async with server.client("bob") as bob:
        group = await bob.groups.create("Public", name="team", members=["alice"])
        await told(alice, "onGroupListUpdated", lambda groups: len(groups) == 1)
        await group.kick("alice")
        await shown(alice, SYSTEM, lambda m: m["payload"]["operationType"] == 4)
        assert await alice.do("groups") == []
        with pytest.raises(WebError) as refused:
            await alice.send("text", group.id, {"text": "let me in"}, group=True)
        assert refused.value.code == 10007


async def test_a_group_is_administered_from_the_web(server: RunningServer, alice: WebClient) -> None:
    bob, carol = server.client("bob"), server.client("carol")
    heard, seen = EventRecorder(bob, GroupChanged, GroupNoticeReceived), EventRecorder(carol, GroupNoticeReceived)
    async with bob, carol:
        group_id = await alice.do("createGroup", type="Public", name="team", memberList=[{"userID": "bob"}])
        await heard.wait_for_event(GroupNoticeReceived, lambda e: e.group_id == group_id)
        assert (await alice.do("invite", groupID=group_id, userIDList=["carol"]))["successUserIDList"] == ["carol"]
        await seen.wait_for_event(GroupNoticeReceived, lambda e: e.group_id == group_id)
        assert await alice.do("setGroup", groupID=group_id, name="crew", introduction="about", notification="mind") == "crew"
        await heard.wait_for_event(GroupChanged, lambda e: e.tip.changes.get("GroupName") == "crew")
        assert await alice.do("setRole", groupID=group_id, userID="bob", role="Admin") == "Admin"
        await alice.do("muteMember", groupID=group_id, userID="carol", muteTime=600)
        with pytest.raises(Muted):
            await carol.group(group_id).send("may I?")
        assert await alice.do("setNameCard", groupID=group_id, nameCard="the chief") == "the chief"
        await alice.do("kick", groupID=group_id, userIDList=["carol"], reason="enough")
        assert await alice.do("passOn", groupID=group_id, newOwnerID="bob") == "bob"
        shown = await alice.do("group", groupID=group_id)
        assert (shown["ownerID"], shown["introduction"], shown["notification"]) == ("bob", "about", "mind")
        group = bob.groups.of(group_id)
        facts = await group.info()
        assert (facts.owner, facts.name) == ("bob", "crew")
        assert await alice.do("quit", groupID=group_id) == group_id
        assert [m.user_id async for m in group.members()] == ["bob"]


async def test_applications_to_join_are_answered_across_clients(server: RunningServer, alice: WebClient) -> None:
    bob = server.client("bob")
    heard = EventRecorder(bob, GroupNoticeReceived)
    async with bob:
        group = await bob.groups.create("Public", name="team")
        assert await alice.do("join", groupID=group.id, applyMessage="let me in") == "WaitAdminApproval"
        asked = await heard.wait_for_event(GroupNoticeReceived, lambda e: e.notice.text == "let me in")
        assert asked.notice.operator == "alice"
        await group.accept("alice")
        await shown(alice, SYSTEM, lambda m: m["payload"]["operationType"] == 2)
        await told(alice, "onGroupListUpdated", lambda groups: [g["groupID"] for g in groups] == [group.id])


async def test_friends_are_made_and_unmade_across_clients(server: RunningServer, alice: WebClient) -> None:
    bob = server.client("bob")
    heard = EventRecorder(bob, RelationChanged)
    async with bob:
        await alice.do("addFriend", to="bob", source="AddSource_Type_Web", wording="hi bob", type="Both")
        await heard.wait_for_event(RelationChanged, lambda e: e.change.type is RelationType.APPLICATION_ADDED)
        await bob.friends.accept("alice")
        await told(alice, "onFriendListUpdated", lambda friends: [f["userID"] for f in friends] == ["bob"])
        alice.events.clear()
        await bob.profile.set(nickname="Robert")
        await told(alice, "onProfileUpdated", lambda users: any(p["userID"] == "bob" and p["nick"] == "Robert" for p in users))
        await bob.friends.delete("alice", both=True)
        await told(alice, "onFriendListUpdated", lambda friends: friends == [])
        assert await alice.do("friends") == []
        await bob.friends.add("alice", wording="again?")
        await told(
            alice, "onFriendApplicationListUpdated", lambda data: any(a["wording"] == "again?" for a in data["applications"])
        )
        await alice.do("acceptFriend", userID="bob", remark="bobby", type="Response_Action_AgreeAndAdd")
        await heard.wait_for_event(
            RelationChanged, lambda e: e.change.type is RelationType.FRIEND_ADDED and "alice" in e.change.users
        )
        assert await alice.do("friends") == ["bob"]
        await alice.do("block", userIDList=["bob"])
        with pytest.raises(Blacklisted):
            await bob.c2c("alice").send("hello?")


async def test_a_profile_set_on_the_web_is_seen_by_timim(server: RunningServer, alice: WebClient) -> None:
    desk = server.client("alice")
    heard = EventRecorder(desk, ProfileChanged)
    async with desk, server.client("bob") as bob:
        assert await alice.do("setProfile", nick="Alice", avatar="http://a/b.png") == "Alice"
        await heard.wait_for_event(ProfileChanged, lambda e: e.user_id == "alice")
        profile = (await bob.profiles.get(["alice"]))["alice"]
        assert (profile.nickname, profile.face_url) == ("Alice", "http://a/b.png")
        await bob.profile.set(nickname="Bob")
        (seen,) = await alice.do("profiles", userIDList=["bob"])
        assert seen["nick"] == "Bob"


async def test_a_web_client_that_loses_its_slot_is_kicked_out(tmp_path: Path) -> None:
    async with running_server(data_dir=tmp_path / "one", devices="one") as server, web_client(server, "alice") as web:
        await web.login()
        async with server.client("alice"):
            await told(web, "kickedOut", lambda data: data == {"type": "multipleAccount"})

"""Tests of live rooms (AVChatRooms) between the web client and timim's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.interop.webclient import WebClient, WebError, web_client
from tests.support.rest import RestClient, text
from tests.support.waiting import eventually
from timim import GroupNoticeReceived, GroupNoticeType, NoPermission
from timim.testing import EventRecorder, RunningServer, running_server

pytestmark = pytest.mark.judge


async def shown(web: WebClient, text: str) -> None:
    """Wait until the web client has received a text."""

    def texts() -> list[str]:
        received = [m for e in web.events if e["event"] == "onMessageReceived" for m in e["data"]]
        return [m["payload"]["text"] for m in received if m["type"] == "TIMTextElem"]

    await web.until(lambda: text in texts())


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


async def test_live_rooms_pass_both_ways(server: RunningServer, alice: WebClient) -> None:
    bob = server.client("bob")
    heard = EventRecorder(bob)
    async with bob:
        room = await bob.groups.create("AVChatRoom", name="show")
        await room.conversation.send("before")
        joined = await alice.call("joinGroup", {"groupID": room.id})
        assert (joined["status"], joined["group"]["type"]) == ("JoinedSuccess", "AVChatRoom")
        await shown(alice, "before")
        await room.conversation.send("now")
        await shown(alice, "now")
        await alice.send("text", room.id, {"text": "hello from the web"}, group=True)
        await eventually(lambda: "hello from the web" in [message.text for message in heard.messages])
        async with RestClient(server) as rest:
            told = {"Random": 7, "MsgBody": text("to all rooms")}
            assert (await rest.call("group_open_http_svc/send_broadcast_msg", told))["ErrorCode"] == 0
        await shown(alice, "to all rooms")
        assert (await alice.call("getGroupOnlineMemberCount", room.id))["memberCount"] == 2
        await alice.call("quitGroup", room.id)
        assert [member.user_id for member in await room.members()] == ["bob"]
    assert not [e for e in alice.events if e["event"] in ("unhandledRejection", "error")]


async def test_the_owner_of_a_live_room_joins_it_at_each_login(server: RunningServer, alice: WebClient) -> None:
    bob = server.client("bob")
    heard = EventRecorder(bob)
    async with bob:
        room_id = await alice.do("createGroup", type="AVChatRoom", name="show")
        await alice.call("joinGroup", {"groupID": room_id})
        assert await bob.groups.join(room_id)
        await alice.send("text", room_id, {"text": "welcome"}, group=True)
        await heard.wait_for_messages(1)
        async with web_client(server, "alice") as later:
            await later.login()
            joined = await later.call("joinGroup", {"groupID": room_id})
            assert joined["status"] == "JoinedSuccess"
            await shown(later, "welcome")
            await later.send("text", room_id, {"text": "back"}, group=True)
            await eventually(lambda: "back" in [message.text for message in heard.messages])
            await bob.group(room_id).send("hi")
            await shown(later, "hi")
            assert not [e for e in later.events if e["event"] in ("unhandledRejection", "error")]


async def test_marks_and_bans_of_a_live_room_pass_both_ways(server: RunningServer, alice: WebClient) -> None:
    bob = server.client("bob")
    heard = EventRecorder(bob, GroupNoticeReceived)
    async with bob:
        room_id = await alice.do("createGroup", type="AVChatRoom", name="show")
        await alice.call("joinGroup", {"groupID": room_id})
        assert await bob.groups.join(room_id)
        query = {"groupID": room_id, "userIDList": ["bob", "carol"], "markType": 1000, "enableMark": True}
        marked = await alice.call("markGroupMemberList", query)
        assert (marked["successUserIDList"], marked["failureUserIDList"]) == (["bob"], ["carol"])
        live = bob.groups.of(room_id).live
        assert [(one.user_id, one.marks) for one in await live.members(mark=1000)] == [("bob", (1000,))]
        listed = await alice.call("getGroupMemberList", {"groupID": room_id, "filter": 1000})
        assert [member["userID"] for member in listed["memberList"]] == ["bob"]
        await alice.call("deleteGroupMember", {"groupID": room_id, "userIDList": ["bob"], "duration": 60, "reason": "noise"})
        notice = await heard.wait_for_event(GroupNoticeReceived, lambda event: event.notice.type is GroupNoticeType.BANNED)
        assert notice.group_id == room_id
        with pytest.raises(NoPermission, match="banned"):
            await bob.groups.join(room_id)
        room = await bob.groups.create("AVChatRoom", name="other")
        async with web_client(server, "carol") as carol:
            await carol.login()
            await carol.call("joinGroup", {"groupID": room.id})
            await room.live.ban(["carol"], 60)
            await carol.told("onGroupListUpdated", lambda groups: room.id not in [group["groupID"] for group in groups])
            with pytest.raises(WebError) as refused:
                await carol.call("joinGroup", {"groupID": room.id})
            assert refused.value.code == 10007
            await room.live.unban(["carol"])
            assert (await carol.call("joinGroup", {"groupID": room.id}))["status"] == "JoinedSuccess"

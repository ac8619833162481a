"""Tests of live rooms (AVChatRooms): joining, members who go with their connections, marks and bans."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec
import pytest

from tests.support.raw_session import raw_session
from tests.support.rest import RestClient, text
from tests.support.waiting import eventually
from tests.support.webhook_receiver import Call, webhook_receiver
from timim import (
    ConnectionRestored,
    Group,
    GroupChanged,
    GroupTipType,
    InvalidArgument,
    LimitReached,
    NoPermission,
)
from timim.protocol import callbacks as names
from timim.protocol import group_members as wire
from timim.protocol import groups
from timim.testing import EventRecorder, running_server

GROUPS, LIVE = "group_open_http_svc/", "group_open_avchatroom_http_svc/"
TOLD = ",".join((names.JOINED, names.EXITED, names.MEMBER_STATE))


def _as_many(count: int) -> Callable[[list[Call]], bool]:
    return lambda calls: len(calls) == count


def _more_than(heard: EventRecorder, count: int) -> bool:
    return len(heard.events) > count


async def members_of(group: Group) -> list[str]:
    return [member.user_id for member in await group.members()]


async def test_the_owner_and_members_join_a_live_room_again() -> None:
    async with running_server() as server, server.client("alice") as alice, server.client("bob") as bob:
        room = await alice.groups.create("AVChatRoom", name="show")
        assert await bob.groups.join(room.id)
        for client in (alice, bob, bob):
            assert await client.groups.join(room.id)
        assert [member.user_id for member in await room.members()] == ["alice", "bob"]
        assert [group.id for group in await bob.groups.joined()] == [room.id]


async def test_a_join_answers_with_the_last_messages_of_users() -> None:
    async with running_server() as server, server.client("alice") as alice, raw_session(server) as raw:
        room = await alice.groups.create("AVChatRoom", name="show")
        sent = [await room.conversation.send(f"{number}") for number in range(25)]
        await sent[-1].recall()
        await raw.login("carol")
        reply = await raw.call(wire.JOIN_GROUP, wire.JoinGroupRequest(group_id=room.id, recent=1))
        assert (reply.joined, reply.live, bool(reply.live_key)) == ("JoinedSuccess", 1, True)
        assert isinstance(reply.messages, list)
        shown = [msgspec.json.decode(message) for message in reply.messages]
        assert [one["MsgSeq"] for one in shown] == [message.seq for message in reversed(sent[4:-1])]
        assert {one["Event"] for one in shown} == {3}
        again = await raw.call(wire.JOIN_GROUP, wire.JoinGroupRequest(group_id=room.id))
        assert (again.joined, again.live, again.messages) == ("JoinedSuccess", 1, [])
        assert (await raw.call(groups.LIST_JOINED, groups.ListJoinedGroupsRequest())).total == 0
        assert (await raw.call(groups.LIST_JOINED, groups.ListJoinedGroupsRequest(with_live=1))).total == 1


async def test_members_leave_with_their_last_connection_except_the_owner() -> None:
    async with running_server(live_room_grace_s=0) as server, server.client("alice") as alice:
        heard = EventRecorder(alice, GroupChanged)
        bob, phone = server.client("bob"), server.client("bob", platform="mobile")
        await bob.login()
        await phone.login()
        room = await alice.groups.create("AVChatRoom", name="show")
        assert await bob.groups.join(room.id)
        assert await alice.groups.online_members(room.id) == 2
        await bob.close()
        await room.conversation.send("still here")
        assert await members_of(room) == ["alice", "bob"]
        await phone.close()
        gone = await heard.wait_for_event(GroupChanged, lambda event: event.tip.type is GroupTipType.QUIT)
        assert (gone.group_id, gone.tip.users) == (room.id, ("bob",))
        assert await members_of(room) == ["alice"]


async def test_the_back_end_is_told_when_members_come_and_go_by_their_connections() -> None:
    async with (
        webhook_receiver() as back_end,
        running_server(webhook_url=back_end.url, webhook_token="secret", webhook_commands=TOLD, live_room_grace_s=0) as server,
        server.client("alice") as alice,
    ):
        room = await alice.groups.create("AVChatRoom", name="show")
        for back in (0, 1):
            async with raw_session(server) as raw:
                await raw.login("carol")
                await raw.call(wire.JOIN_GROUP, wire.JoinGroupRequest(group_id=room.id, back=back))
            await back_end.until(_as_many(2 * back + 2))
        told = [(call.body["CallbackCommand"].rpartition(".")[2], call.body.get("EventType")) for call in back_end.calls]
        assert told == [
            ("CallbackAfterNewMemberJoin", None),
            ("CallbackOnMemberStateChange", "Offline"),
            ("CallbackOnMemberStateChange", "Online"),
            ("CallbackOnMemberStateChange", "Offline"),
        ]
        assert all(call.body["GroupId"] == room.id and call.body["Type"] == "AVChatRoom" for call in back_end.calls)
        assert back_end.calls[1].body["MemberList"] == [{"Member_Account": "carol"}]


async def test_a_client_joins_its_live_rooms_again_when_it_reconnects() -> None:
    async with running_server(live_room_grace_s=0) as server, server.client("alice") as alice, server.client("bob") as bob:
        left, owner = EventRecorder(alice, GroupChanged), EventRecorder(alice, ConnectionRestored)
        heard = EventRecorder(bob, ConnectionRestored)
        room = await alice.groups.create("AVChatRoom", name="show")
        assert await bob.groups.join(room.id)

        def came_back() -> bool:
            tips = [event.tip.type for event in left.events if isinstance(event, GroupChanged)]
            return GroupTipType.QUIT in tips and tips[-1] is GroupTipType.JOIN

        while not came_back():  # the client may reconnect faster than the server removes the member
            begun = len(heard.events)
            server.faults.cut_all()
            for recorder in (heard, owner):
                await eventually(partial(_more_than, recorder, begun))
            await room.conversation.send("again")
        assert await members_of(room) == ["alice", "bob"]
        sent = await room.conversation.send("the end")
        await eventually(lambda: sent.text in [message.text for message in heard.messages])


async def test_the_owner_marks_and_bans_members() -> None:
    async with running_server() as server, server.client("alice") as alice, server.client("bob") as bob:
        await server.add_users("carol")
        room = await alice.groups.create("AVChatRoom", name="show")
        theirs = bob.groups.of(room.id)
        assert await bob.groups.join(room.id)
        assert await room.live.mark(["bob", "carol"], 1001) == ("bob",)
        assert await room.live.mark(["bob"], 1000) == ("bob",)
        assert [(one.user_id, one.marks) for one in await theirs.live.members()] == [("alice", ()), ("bob", (1000, 1001))]
        assert await room.live.unmark(["bob"], 1001) == ("bob",)
        assert await theirs.live.members(mark=1001) == ()
        for change in (theirs.live.mark(["bob"], 1000), theirs.live.ban(["alice"], 9), theirs.live.unban(["bob"])):
            with pytest.raises(NoPermission):
                await change
        with pytest.raises(NoPermission):
            await room.live.ban(["alice"], 9)
        with pytest.raises(InvalidArgument, match="1000"):
            await room.live.mark(["bob"], 999)
        with pytest.raises(InvalidArgument, match="Duration"):
            await room.live.ban(["bob"], 0)
        for mark in range(1001, 1010):
            await room.live.mark(["bob"], mark)
        with pytest.raises(LimitReached, match="limit is 10"):
            await room.live.mark(["bob"], 1010)
        await room.live.ban(["bob", "carol"], 100, reason="noise")
        assert await members_of(room) == ["alice"]
        assert sorted(await room.live.bans()) == ["bob", "carol"]
        with pytest.raises(NoPermission, match="banned"):
            await bob.groups.join(room.id)
        await room.live.unban(["bob"])
        assert await bob.groups.join(room.id)
        assert [(one.user_id, one.marks) for one in await room.live.members()] == [("alice", ()), ("bob", ())]
        public = await alice.groups.create("Public", name="team")
        with pytest.raises(NoPermission, match="only an AVChatRoom"):
            await public.live.ban(["bob"], 9)


async def test_an_administrator_bans_and_marks_over_rest() -> None:
    async with running_server() as server, RestClient(server) as rest, server.client("alice") as alice:
        async with server.client("bob") as bob:
            room = await alice.groups.create("AVChatRoom", name="show")
            assert await bob.groups.join(room.id)
            where = {"GroupId": room.id}
            marks = {"CommandType": 1, "MemberList": [{"Member_Account": "bob", "Marks": [1000]}]}
            marked = await rest.call(LIVE + "modify_user_info", where | marks)
            assert marked["MemberList"] == [{"Member_Account": "bob", "Marks": [1000]}]
            found = await rest.call(LIVE + "get_members", where | {"Timestamp": 0, "Mark": 1000})
            assert [one["Member_Account"] for one in found["MemberList"]] == ["bob"]
            banned = where | {"Members_Account": ["bob"], "Duration": 60, "Description": "noise"}
            assert (await rest.call(GROUPS + "ban_group_member", banned))["ErrorCode"] == 0
            listed = await rest.call(GROUPS + "get_group_ban_member", where | {"Limit": 100, "Offset": 0})
            assert [one["Member_Account"] for one in listed["BannedAccountList"]] == ["bob"]
            assert await members_of(room) == ["alice"]
            assert (await rest.call(GROUPS + "unban_group_member", where | {"Members_Account": ["bob"]}))["ErrorCode"] == 0
            assert await bob.groups.join(room.id)


async def test_a_broadcast_reaches_all_live_rooms_once() -> None:
    async with running_server() as server, RestClient(server) as rest, server.client("alice") as alice:
        rooms = [await alice.groups.create("AVChatRoom", name="show") for _ in range(3)]
        team = await alice.groups.create("Public", name="team")
        heard = EventRecorder(alice)
        body = {"Random": 7, "MsgBody": text("the show ends"), "CloudCustomData": "data"}
        first = await rest.call(GROUPS + "send_broadcast_msg", body)
        assert (first["ErrorCode"], first["TimelineRefused"]) == (0, 0)
        assert (await rest.call(GROUPS + "send_broadcast_msg", body))["MsgSeq"] == first["MsgSeq"]
        await team.conversation.send("end")
        await rest.call(GROUPS + "send_broadcast_msg", body | {"Random": 8, "From_Account": "alice"})
        await heard.wait_for_messages(3)
        await eventually(lambda: all((last := room.conversation.last_message) and last.sender == "alice" for room in rooms))
        for room in rooms:
            shown = [(message.sender, message.text) async for message in room.conversation.history() if message.text]
            assert sorted(shown) == [("administrator", "the show ends"), ("alice", "the show ends")]
        assert [message.text async for message in team.conversation.history()] == ["end"]


async def test_live_rooms_have_no_read_receipts() -> None:
    async with running_server() as server, server.client("alice") as alice:
        room = await alice.groups.create("AVChatRoom", name="show")
        with pytest.raises(InvalidArgument, match="no read receipts"):
            await room.conversation.send("read this", request_receipt=True)

"""Tests of live rooms (AVChatRooms): joining, members who go with their connections, marks and bans."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec

from tests.support.raw_session import raw_session
from tests.support.waiting import eventually
from tests.support.webhook_receiver import Call, webhook_receiver
from timim import ConnectionRestored, Group, GroupChanged, GroupTipType
from timim.protocol import callbacks as names
from timim.protocol import group_members as wire
from timim.protocol import groups
from timim.testing import EventRecorder, running_server

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
        left, heard = EventRecorder(alice, GroupChanged), EventRecorder(bob, ConnectionRestored)
        room = await alice.groups.create("AVChatRoom", name="show")
        assert await bob.groups.join(room.id)

        def came_back() -> bool:
            tips = [event.tip.type for event in left.events if isinstance(event, GroupChanged)]
            return GroupTipType.QUIT in tips and tips[-1] is GroupTipType.JOIN

        while not came_back():  # the client may reconnect faster than the server removes the member
            begun = len(heard.events)
            server.faults.cut_all()
            await eventually(partial(_more_than, heard, begun))
            await alice.groups.joined()  # alice has reconnected
            await room.conversation.send("again")
        assert await members_of(room) == ["alice", "bob"]
        sent = await room.conversation.send("the end")
        await eventually(lambda: sent.text in [message.text for message in heard.messages])

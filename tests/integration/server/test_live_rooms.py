"""Tests of live rooms (AVChatRooms): joining, members who go with their connections, marks and bans."""

from __future__ import annotations

import msgspec

from tests.support.raw_session import raw_session
from timim.protocol import group_members as wire
from timim.protocol import groups
from timim.testing import running_server


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

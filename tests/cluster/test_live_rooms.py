"""Tests of live rooms at several nodes: members leave with their connections, also with those of a node that dies."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.backing_services import Nats
from timim import GroupChanged, GroupTipType
from timim.testing import EventRecorder, running_server


async def test_members_stay_while_they_are_online_at_another_node_and_leave_with_a_lost_one(
    database: Callable[[], str], nats_server: Nats
) -> None:
    url = database()
    async with (
        running_server(database=url, bus=nats_server.url, live_room_grace_s=0.1) as here,
        running_server(database=url, bus=nats_server.url, live_room_grace_s=0.1) as there,
    ):
        alice, bob, phone, carol = here.client("alice"), here.client("bob"), there.client("bob"), there.client("carol")
        left = EventRecorder(alice, GroupChanged)
        async with alice:
            room = await alice.groups.create("AVChatRoom", name="show")
            for client in (bob, phone, carol):
                await client.login()
            assert await bob.groups.join(room.id)
            assert await carol.groups.join(room.id)
            await bob.close()
            await carol.close()
            gone = await left.wait_for_event(GroupChanged, lambda event: event.tip.type is GroupTipType.QUIT)
            assert gone.tip.users == ("carol",)
            assert await alice.groups.online_members(room.id) == 2
            await there.crash()
            gone = await left.wait_for_event(
                GroupChanged, lambda event: event.tip.type is GroupTipType.QUIT and event.tip.users == ("bob",)
            )
            assert [member.user_id for member in await room.members()] == ["alice"]
            await phone.close()

"""Tests of the system timeline: notices reach every device of their user once, also a device that was offline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self

import msgspec
import pytest
import pytest_asyncio

import timim
from timim import ConversationType, GroupNoticeElem, GroupNoticeReceived, GroupNoticeType, Message, RelationElem, RelationType
from timim.protocol import conversation_list as contact_wire
from timim.protocol import messages as wire
from timim.protocol import session
from timim.protocol.codec import decode
from timim.protocol.frames import Frame, Head
from timim.testing import EventRecorder, RunningServer, running_server
from timim.transport.pushes import PushReceiver
from timim.transport.websocket import Link

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[RunningServer]:
    async with running_server() as running:
        yield running


def is_notice(message: Message, kind: GroupNoticeType) -> bool:
    return any(isinstance(elem, GroupNoticeElem) and elem.type is kind for elem in message)


@pytest.mark.requirement("F34")
async def test_notices_reach_a_device_that_was_offline_once(server: RunningServer, tmp_path: Path) -> None:
    await server.add_users("b1")
    async with server.client("a1") as alice:
        group = await alice.groups.create("Public", name="team", members=["b1"])
        await alice.friends.add("b1", wording="hi")
        await group.kick("b1", reason="mistake")
    bob = server.client("b1", data_dir=tmp_path)
    watch = EventRecorder(bob, GroupNoticeReceived)
    async with bob:
        got = await watch.wait_for_messages(3)
        assert all(m.key == bob.system().key and m.sender == "@TIM#SYSTEM" for m in got)
        assert [m.seq for m in got] == [1, 2, 3]
        invited, asked, kicked = (m[0] for m in got)
        assert isinstance(invited, GroupNoticeElem)
        assert isinstance(asked, RelationElem)
        assert isinstance(kicked, GroupNoticeElem)
        assert (invited.type, invited.group_name, invited.operator) == (GroupNoticeType.INVITED, "team", "a1")
        assert (asked.type, asked.users, asked.wording) == (RelationType.APPLICATION_ADDED, ("a1",), "hi")
        assert (kicked.type, kicked.text) == (GroupNoticeType.KICKED, "mistake")
        assert bob.system().unread == 3
        assert bob.system() in list(bob.conversations)
        await watch.wait_for_event(GroupNoticeReceived, lambda e: e.notice.type is GroupNoticeType.KICKED)
    again = server.client("b1", data_dir=tmp_path)
    watch = EventRecorder(again, GroupNoticeReceived)
    async with again, server.client("a1") as alice:
        await alice.c2c("b1").send("done")
        await watch.wait_for_message(lambda m: m.text == "done")
        assert [m.text for m in watch.messages] == ["done"]  # the second login delivers no notice again
        assert watch.events == []
        assert again.system().unread == 3


async def test_a_new_device_gets_earlier_notices_and_their_read_state(server: RunningServer) -> None:
    async with server.client("a2") as alice, server.client("b2") as bob:
        watch = EventRecorder(bob)
        for n in range(5):
            await alice.groups.create("Public", name=f"g{n}", members=["b2"])
        await watch.wait_for_messages(5)
        async with server.client("b2") as other:
            page = await other.system().get_messages(20)
            names = [m[0].group_name if isinstance(m[0], GroupNoticeElem) else None for m in page]
            assert names == [f"g{n}" for n in (4, 3, 2, 1, 0)]
            assert page.complete
            assert [m async for m in other.system().history()] == list(page) or len(page) == 5
            await bob.system().mark_read()
            assert bob.system().unread == 0
        async with server.client("b2") as later:
            assert later.system().unread == 0
            assert all(m.is_read for m in await later.system().get_messages(20))


async def test_reading_on_one_device_updates_the_others(server: RunningServer) -> None:
    async with server.client("a3") as alice, server.client("b3") as one, server.client("b3") as two:
        at_one, at_two = EventRecorder(one), EventRecorder(two)
        await alice.groups.create("Public", name="g", members=["b3"])
        await at_one.wait_for_messages(1)
        await at_two.wait_for_messages(1)
        await one.system().mark_read()
        async with two.c2c("a3").expect(lambda m: True, timeout=20) as after:  # the read state arrives before this message
            await alice.c2c("b3").send("x")
        await after
        (notice,) = await two.system().get_local_messages(1)
        assert notice.is_read


async def test_nobody_can_send_to_the_system_conversation_and_getting_it_lists_nothing(server: RunningServer) -> None:
    async with server.client("a4") as alice:
        system = alice.system()
        assert system is alice.conversation(ConversationType.SYSTEM, "")
        assert len(alice.conversations) == 0
        with pytest.raises(timim.InvalidConversation):
            await system.send("hello")
        page = await system.get_messages(20)
        assert (len(page), page.complete) == (0, True)


async def test_a_notice_and_its_change_survive_a_kill_together(tmp_path: Path) -> None:
    async with running_server() as server:
        await server.add_users("bob")
        async with server.client("alice") as alice:
            group = await alice.groups.create("Public", name="team")
            await group.invite("bob")
            await group.set_info(name="crew")
            await server.crash()
        await server.start()
        bob = server.client("bob")
        watch = EventRecorder(bob)
        async with bob:
            await watch.wait_for_message(lambda m: is_notice(m, GroupNoticeType.INVITED))
            facts = await bob.groups.of(group.id).info()
            assert (facts.name, facts.member_count) == ("crew", 2)
            assert [g.id for g in await bob.groups.joined()] == [group.id]
            assert len(await bob.group(group.id).get_messages(20)) == 2  # an invitation and a new name


class RawPushes(PushReceiver):
    """A receiver of pushes that stores all their events in order."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[dict[str, object]] = asyncio.Queue()

    def receive(self, frame: Frame) -> None:
        for event in msgspec.json.decode(frame.body)["EventArray"]:
            self.events.put_nowait(event)


class Foreign:
    """A client without timim's extensions, to test pushes and replies in Tencent's format."""

    def __init__(self, server: RunningServer, user: str) -> None:
        self._server = server
        self._user = user
        self._pushes = RawPushes()
        self.events = self._pushes.events

    async def __aenter__(self) -> Self:
        self.link = await Link.open(self._server.url, self._pushes, timeout_s=5)
        self._run = asyncio.create_task(self.link.run())
        signature = timim.sign_user(self._server.app_id, self._server.secret_key, self._user)
        self.link.head = Head("", identifier=self._user, usersig=signature, sdkappid=self._server.app_id)
        await self.link.call(session.LOGIN, session.LoginRequest(), timeout_s=5)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._run.cancel()
        await asyncio.gather(self._run, return_exceptions=True)
        await self.link.close()

    async def event(self, number: int) -> dict[str, object]:
        async with asyncio.timeout(20):
            while (event := await self.events.get())["Event"] != number:
                pass
        return event


async def test_other_clients_are_pushed_the_formats_they_know(server: RunningServer) -> None:
    async with server.client("a6") as alice, Foreign(server, "b6") as bob:
        group = await alice.groups.create("Public", name="team", members=["b6"])
        notice = (await bob.event(5))["GroupTips"]
        assert isinstance(notice, list)
        assert notice[0]["MsgBody"]["ReportType"] == 7
        assert (notice[0]["ToGroupId"], notice[0]["GroupInfo"]["GroupName"]) == (group.id, "team")
        await group.set_info(name="crew")
        tip = (await bob.event(4))["GroupTips"]
        assert isinstance(tip, list)
        assert tip[0]["MsgBody"]["OpType"] == 6
        assert tip[0]["MsgBody"]["MsgGroupNewInfo"] == {"GroupName": "crew"}
        assert (tip[0]["ToGroupId"], tip[0]["MsgBody"]["Operator_Account"], tip[0]["TimelineSeq"]) == (group.id, "a6", 1)
        await alice.friends.add("b6", wording="hi")
        asked = (await bob.event(7))["FriendListMod"]
        assert isinstance(asked, list)
        assert (asked[0]["PushType"], asked[0]["PendencyAdd"][0]["PendencyAdd_Account"]) == (3, "a6")
        assert asked[0]["PendencyAdd"][0]["AddTime"] > 0
        listed = await bob.link.call(contact_wire.LIST_CONVERSATIONS, contact_wire.ListConversationsRequest(), timeout_s=5)
        assert [item.type for item in listed.items] == [contact_wire.TYPE_GROUP]


async def test_the_system_timeline_is_the_callers_own_and_proves_its_interval(server: RunningServer) -> None:
    async with server.client("a7") as alice, server.client("b7") as bob:
        for n in range(4):
            await alice.groups.create("Public", name=f"g{n}", members=["b7"])
        link = bob.engine.connection.link()
        reply = await link.call(wire.ROAM_SYSTEM, wire.RoamSystemRequest(max_cnt=2, timeline_range=(1, 3)), timeout_s=5)
        assert (reply.timeline_range, reply.timeline_floor, reply.timeline_last_seq) == ((2, 3), 1, 4)
        assert [msgspec.json.decode(raw)["TimelineSeq"] for raw in reply.messages] == [3, 2]
        mine = await alice.engine.connection.link().call(wire.ROAM_SYSTEM, wire.RoamSystemRequest(), timeout_s=5)
        assert all(msgspec.json.decode(raw)["To_Account"] == "a7" for raw in mine.messages)
        assert decode(wire.RoamSystemRequest, b"{}").timeline_range == (1, 1 << 62)

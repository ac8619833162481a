"""Tests of the rules of message actions: permissions, time limits, and retries, which are executed once (P06)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio

import timim
from tests.integration.server.test_system_messages import Foreign
from tests.support.paths import MUTANTS
from timim import ALL, Message, MessageEdited, MessageRecalled, ReactionsChanged
from timim.protocol import message_actions as act_wire
from timim.protocol import messages as wire
from timim.testing import EventRecorder, RunningServer, running_server
from timim.util.failpoints import FAILPOINTS, Failpoint

pytestmark = pytest.mark.asyncio(loop_scope="module")
MUTANT = MUTANTS / "acts_twice.py"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[RunningServer]:
    async with running_server(group_messages_per_s=0) as running:
        yield running


@pytest.mark.requirement("P06")
async def test_recall_has_a_time_limit_except_for_admins() -> None:
    async with running_server(recall_window_s=0) as server:
        await server.add_users("bob")
        async with server.client("alice") as alice, server.client("bob") as bob:
            group = await alice.groups.create("Public", name="team", members=["bob"])
            mine, his = await alice.c2c("bob").send("mine"), await bob.group(group.id).send("his")
            await group.conversation.send("hers")  # a message in between
            # times have a resolution of a second, so a message of the same second is within any window
            await asyncio.sleep(1.1)
            with pytest.raises(timim.RecallTooLate) as late:
                await mine.recall()
            assert late.value.code == 20016
            with pytest.raises(timim.RecallTooLate) as late:
                await his.recall()
            assert late.value.code == 10031
            (seen,) = [m for m in await group.conversation.get_messages(5) if m.text == "his"]
            await seen.recall()  # alice owns the group
            assert seen.recaller == "alice"
            assert not mine.recalled


@pytest.mark.requirement("P06")
async def test_only_the_sender_edits_and_recalls_in_c2c(server: RunningServer) -> None:
    await server.add_users("b1")
    async with server.client("a1") as alice, server.client("b1") as bob:
        watch = EventRecorder(bob)
        mine = await alice.c2c("b1").send("mine")
        seen = await watch.wait_for_message()
        for refused in (seen.recall(), seen.edit("his")):
            with pytest.raises(timim.NoPermission) as no:
                await refused
            assert no.value.code == 10007
        await mine.recall()
        await mine.recall()  # a second recall has no effect and raises no error
        for act in (mine.edit("again"), mine.react("👍"), seen.react("👍")):
            with pytest.raises(timim.AlreadyRecalled) as gone:
                await act
            assert gone.value.code == 20023
        assert (await alice.c2c("b1").coverage()).last_seq == 2


@pytest.mark.requirement("P06")
async def test_an_impossible_action_raises_its_named_error(server: RunningServer) -> None:
    await server.add_users("b2", "c2")
    async with server.client("a2") as alice, server.client("b2") as bob, server.client("c2") as stranger:
        group = await alice.groups.create("Public", name="team", members=["b2"])
        await group.set_info(name="crew")
        (tip,) = await group.conversation.get_messages(5)
        for act in (tip.recall(), tip.react("👍"), tip.edit("x")):
            with pytest.raises(timim.NoPermission):
                await act
        message = await group.conversation.send("hello")
        message._seq = 99
        with pytest.raises(timim.UnknownMessage) as none:
            await message.recall()
        assert none.value.code == 10030
        message._seq = 2
        link = stranger.engine.connection.link()
        with pytest.raises(timim.NotAMember):
            await link.call(act_wire.REACT_TO, act_wire.ReactRequest(group_id=group.id, seq=2, reaction="👍"), timeout_s=5)
        with pytest.raises(timim.NotAMember):
            await link.call(
                act_wire.GET_MESSAGE_ACTIONS,
                act_wire.GetMessageActionsRequest(group_id=group.id, timeline_range=(1, 9)),
                timeout_s=5,
            )
        with pytest.raises(timim.InvalidArgument) as unsent:
            await Message("never sent").recall()
        assert unsent.value.code == 6017
        with pytest.raises(timim.InvalidArgument, match="64 bytes"):
            await message.react("x" * 65)
        with pytest.raises(timim.InvalidArgument, match="use recall"):
            await message.edit()
        with pytest.raises(timim.MessageTooLong):
            await message.edit("x" * 13_000)
        await group.mute("b2", 60)
        (seen,) = [m for m in await bob.group(group.id).get_messages(5) if m.seq == 2]
        with pytest.raises(timim.Muted):
            await seen.react("👍")
        with pytest.raises(timim.InvalidConversation):
            await (await anext(bob.system().history())).recall()


@pytest.mark.requirement("P06")
async def test_the_blacklist_stops_reactions_and_edits_but_not_recall(server: RunningServer) -> None:
    await server.add_users("b3")
    async with server.client("a3") as alice, server.client("b3") as bob:
        mine = await alice.c2c("b3").send("mine")
        await bob.friends.block("a3")
        for act in (mine.react("👍"), mine.edit("other")):
            with pytest.raises(timim.Blacklisted):
                await act
        await mine.recall()
        assert mine.recalled


@pytest.mark.requirement("P06")
async def test_reactions_have_limits() -> None:
    async with running_server(reactions_per_message=2, users_per_reaction=1) as server:
        await server.add_users("bob")
        async with server.client("alice") as alice, server.client("bob") as bob:
            message = await alice.c2c("bob").send("hello")
            await message.react("1")
            await message.react("2")
            with pytest.raises(timim.LimitReached, match="2 different"):
                await message.react("3")
            (seen,) = await bob.c2c("alice").get_messages(1)
            with pytest.raises(timim.LimitReached, match="1 users"):
                await seen.react("1")
            await message.unreact("1")
            await message.react("3")
            assert message.reactions == {"2": ("alice",), "3": ("alice",)}


@pytest.mark.requirement("P06")
async def test_a_later_member_gets_no_actions_on_earlier_messages(server: RunningServer) -> None:
    await server.add_users("b4")
    async with server.client("a4") as alice, server.client("b4") as bob:
        group = await alice.groups.create("Public", name="team")
        before = await group.conversation.send("before")
        await group.invite("b4")
        watch = EventRecorder(bob, MessageEdited, ReactionsChanged)
        await before.edit("a secret of then")
        after = await group.conversation.send("after")
        await watch.wait_for_message(lambda m: m.text == "after")
        assert watch.events == []
        # the seq of the action is covered, as a tombstone
        assert (await bob.group(group.id).coverage()).intervals == ((2, after.seq),)
        link = bob.engine.connection.link()
        body = wire.RoamGroupRequest(group_id=group.id, number=20, timeline_range=(1, 99))
        reply = await link.call(wire.ROAM_GROUP, body, timeout_s=5)
        acts = await link.call(
            act_wire.GET_MESSAGE_ACTIONS,
            act_wire.GetMessageActionsRequest(group_id=group.id, timeline_range=(1, 99)),
            timeout_s=5,
        )
        assert b"secret" not in b"".join(map(bytes, reply.messages)) + b"".join(map(bytes, acts.actions))
        with pytest.raises(timim.UnknownMessage):
            await link.call(act_wire.REACT_TO, act_wire.ReactRequest(group_id=group.id, seq=1, reaction="👍"), timeout_s=5)
        await after.edit("for all")
        await watch.wait_for_event(MessageEdited)


@pytest.mark.requirement("P06")
async def test_actions_take_no_room_in_pages_in_either_direction(server: RunningServer) -> None:
    await server.add_users("b5")
    async with server.client("a5") as alice:
        for n in range(12):
            message = await alice.c2c("b5").send(f"m{n}")
            for reaction in "xyz":
                await message.react(reaction)
        async with server.client("b5") as bob:
            conversation = bob.c2c("a5")
            assert conversation.unread == 12
            page = await conversation.get_messages(5)
            assert [m.text for m in page] == [f"m{n}" for n in (11, 10, 9, 8, 7)]
            older = await conversation.get_messages(5, before=page[-1])
            assert [m.text for m in older] == [f"m{n}" for n in (6, 5, 4, 3, 2)]
            newer = await conversation.get_messages(5, after=older[-1])
            assert [m.text for m in newer] == [f"m{n}" for n in (7, 6, 5, 4, 3)]
            assert page.complete
            assert older.complete
            assert newer.complete
            assert [m.text async for m in conversation.history(oldest_first=True)] == [f"m{n}" for n in range(12)]


@pytest.mark.requirement("P06")
async def test_other_clients_get_actions_in_their_own_format_and_no_entries(server: RunningServer) -> None:
    await server.add_users("b6")
    async with server.client("a6") as alice, Foreign(server, "b6") as bob:
        group = await alice.groups.create("Public", name="team", members=["b6"])
        mine, ours = await alice.c2c("b6").send("mine"), await group.conversation.send("ours")
        await mine.edit("better")
        edited = await bob.event(10002)
        assert edited["C2cMsgModNotifys"][0]["MsgVersion"] == 1  # type: ignore[index]
        assert "TimelineActs" not in edited
        await mine.recall()
        notice = (await bob.event(10))["C2cNotifyMsgArray"][0]["WithdrawC2cMsgNotify"]  # type: ignore[index]
        info = notice["C2cWithdrawInfoArray"][0]
        assert f"{info['MsgClientTime']}-{info['MsgRandom']}" == mine.msg_id.rpartition("-")[0]
        assert (info["From_Account"], info["To_Account"], info["RevokerInfo"]) == ("a6", "b6", {"Revoker_Account": "a6"})
        await ours.react("👍")
        await ours.recall()
        while "GroupWithdrawInfoArray" not in str(event := await bob.event(5)):
            pass
        assert event["GroupTips"][0]["MsgBody"]["GroupWithdrawInfoArray"][0]["MsgSeq"] == ours.seq  # type: ignore[index]
        last = await alice.c2c("b6").send("last")
        history = await bob.link.call(wire.ROAM_C2C, wire.RoamC2CRequest(peer="a6"), timeout_s=5)
        entries = [msgspec.json.decode(raw) for raw in history.messages]
        assert [(e["TimelineSeq"], e.get("MsgFlagBits", 0)) for e in entries] == [(mine.seq, 8), (last.seq, 0)]
        roam = await bob.link.call(wire.ROAM_GROUP, wire.RoamGroupRequest(group_id=group.id), timeout_s=5)
        places = [(e["MsgSeq"], e["IsPlaceMsg"]) for e in map(msgspec.json.decode, roam.messages)]
        assert places == [(3, 1), (2, 1), (ours.seq, 2)]
        number = last.unique_id & 0xFFFFFFFF
        info = act_wire.RecallInfo(
            from_account="a6",
            to_account="b6",
            msg_seq=number,
            msg_random=number,
            time=last.timestamp,
        )
        with pytest.raises(timim.NoPermission):  # the message is found by Tencent's ids, but is not from this user
            await bob.link.call(act_wire.RECALL_C2C, act_wire.RecallC2CRequest(info=info), timeout_s=5)
        info.msg_random += 1
        with pytest.raises(timim.UnknownMessage) as unknown:
            await bob.link.call(act_wire.RECALL_C2C, act_wire.RecallC2CRequest(info=info), timeout_s=5)
        assert unknown.value.code == 20022


@pytest.mark.requirement("P06")
async def test_several_group_messages_are_recalled_at_once_each_with_its_code(server: RunningServer) -> None:
    async with server.client("a7") as alice:
        group = await alice.groups.create("Public", name="team")
        sent = [await group.conversation.send(f"m{n}") for n in range(3)]
        items = [act_wire.SeqItem(seq=seq) for seq in (sent[0].seq, 99, sent[2].seq)]
        link = alice.engine.connection.link()
        reply = await link.call(act_wire.RECALL_GROUP, act_wire.RecallGroupRequest(group_id=group.id, items=items), timeout_s=5)
        assert [(one.seq, one.code) for one in reply.results] == [(sent[0].seq, 0), (99, 10030), (sent[2].seq, 0)]
        async with server.client("a7") as fresh:
            assert [m.recalled for m in await fresh.group(group.id).get_messages(5)] == [True, False, True]


async def survive(server: RunningServer, failpoint: Failpoint) -> tuple[int, int, list[str]]:
    """Crash at this failpoint during an edit, retry it, and react.

    Returns the last seq, the number of edits, and the names of the events that bob got.
    """
    await server.add_users("bob")
    async with (
        # a start of the server takes seconds on a busy machine
        server.client("alice", reconnect_limit=0.2, timeout=40.0) as alice,
        server.client("bob", reconnect_limit=0.2, timeout=40.0) as bob,
    ):
        watch = EventRecorder(bob, MessageEdited, ReactionsChanged, timim.ConnectionRestored)
        message = await alice.c2c("bob").send("old")
        await watch.wait_for_message(lambda m: m.seq == message.seq)
        # both reconnecting clients send one request; at failpoints that each request passes, the edit is the third
        await server.restart(crash_at=failpoint, count=3 if failpoint in ("after-decode", "before-ack") else 1)
        await alice.engine.connection.up()
        await bob.engine.connection.up()
        acting = asyncio.create_task(message.edit("new"))
        await server.wait_for_exit()
        await server.start()
        async with asyncio.timeout(30):
            await acting
            await message.react("👍")
            await alice.c2c("bob").send("after")
            await watch.wait_for_message(lambda m: m.text == "after")
        told = [type(event).__name__ for event in watch.events if not isinstance(event, timim.ConnectionRestored)]
        async with server.client("alice") as fresh:
            (held,) = [m for m in await fresh.c2c("bob").get_messages(5) if m.seq == message.seq]
            assert (held.text, dict(held.reactions)) == ("new", {"👍": ("alice",)})
            return (await fresh.c2c("bob").coverage()).last_seq, held.version, told


@pytest.mark.parametrize("failpoint", [f for f in FAILPOINTS if f != "after-ack"])
@pytest.mark.requirement("P06")
async def test_an_action_requested_again_after_a_crash_is_one_entry(failpoint: Failpoint) -> None:
    async with running_server() as server:
        last_seq, version, told = await survive(server, failpoint)
    assert (last_seq, version) == (4, 1)  # entries: old, edit, reaction, after
    assert told == ["MessageEdited", "ReactionsChanged"]


@pytest.mark.requirement("P06")
async def test_a_server_that_executes_an_action_twice_is_detected() -> None:
    async with running_server() as server:
        server.program = (str(MUTANT),)
        await server.restart()
        last_seq, version, _ = await survive(server, "after-commit")
    assert (last_seq, version) == (5, 2)


@pytest.mark.requirement("P06")
async def test_a_recalled_message_does_not_count_as_unread_or_mention(server: RunningServer) -> None:
    await server.add_users("b8")
    async with server.client("a8") as alice, server.client("b8") as bob:
        watch = EventRecorder(bob, MessageRecalled)
        group = await alice.groups.create("Public", name="team", members=["b8"])
        sent = [await group.conversation.send(f"m{n}", mention=["b8"] if n else [ALL]) for n in range(3)]
        await watch.wait_for_message(lambda m: m.text == "m2")
        assert (bob.group(group.id).unread, bob.group(group.id).mentioned) == (3, 3)
        await sent[1].recall()
        await watch.wait_for_event(MessageRecalled)
        assert (bob.group(group.id).unread, bob.group(group.id).mentioned) == (2, 2)
        async with server.client("b8") as fresh:
            assert (fresh.group(group.id).unread, fresh.group(group.id).mentioned) == (2, 2)

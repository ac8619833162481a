"""Messages to some members of a group, online messages in groups, and the options that limit what a message changes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

import timim
from tests.integration.server.test_system_messages import Foreign
from tests.support.rewriting_proxy import Frame, rewriting_proxy
from timim import Client, Message, MessageEdited, MessageRecalled, ReactionsChanged, TypingChanged
from timim.protocol import conversation_list as list_wire
from timim.protocol import message_actions as action_wire
from timim.protocol import messages as wire
from timim.protocol.entries import MessageControl
from timim.testing import EventRecorder, RunningServer, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")
BODY = msgspec.Raw(b'[{"MsgType":"TIMTextElem","MsgContent":{"Text":"secret"}}]')


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[RunningServer]:
    async with running_server(group_messages_per_s=0) as running:
        yield running


_randoms = iter(range(1, 1 << 32))


async def post_group(client: Client, group_id: str, body: msgspec.Raw = BODY, **fields: Any) -> wire.SendGroupReply:
    """Send a group message as other clients of Tencent's protocol can."""
    request = wire.SendGroupRequest(group_id=group_id, random=next(_randoms), client_time=9, msg_body=body, **fields)
    return await client.engine.connection.link().call(wire.SEND_GROUP, request, timeout_s=5)


async def post_c2c(client: Client, peer: str, body: msgspec.Raw = BODY, **fields: Any) -> wire.SendC2CReply:
    number = next(_randoms)
    request = wire.SendC2CRequest(to_account=peer, msg_random=number, msg_seq=number, client_time=9, msg_body=body, **fields)
    return await client.engine.connection.link().call(wire.SEND_C2C, request, timeout_s=5)


@asynccontextmanager
async def proxied_client(server: RunningServer, user: str) -> AsyncIterator[tuple[Client, list[Frame]]]:
    """Log a client in, and yield it with the list of the frames that the server pushes to it."""
    pushes: list[Frame] = []

    def note(frame: Frame, request: Frame | None) -> Frame:
        if request is None:
            pushes.append(frame)
        return frame

    signature = timim.sign_user(server.app_id, server.secret_key, user)
    async with rewriting_proxy(server.url) as proxy:
        proxy.rewrite = note
        async with Client(proxy.url, app_id=server.app_id, user_id=user, user_sig=signature, data_dir=":memory:") as client:
            yield client, pushes


def texts(messages: list[Message]) -> list[str]:
    return [message.text for message in messages if message.text]


async def page_items(client: Client) -> dict[str, list_wire.ConversationItem]:
    """Return the conversation list that the server has for this account, by peer or group."""
    request = list_wire.ListConversationsRequest(messages=1)
    reply = await client.engine.connection.link().call(list_wire.LIST_CONVERSATIONS, request, timeout_s=5)
    return {item.to_account or item.group_id: item for item in reply.items}


async def test_a_targeted_message_goes_to_its_receivers_alone(server: RunningServer, tmp_path: Path) -> None:
    await server.add_users("b1", "c1", "d1")
    carol_away = server.client("c1", data_dir=tmp_path / "c1")
    async with proxied_client(server, "a1") as (alice, pushes), server.client("b1") as bob, carol_away:
        at_bob, at_carol = EventRecorder(bob), EventRecorder(carol_away)
        group = await alice.groups.create("Public", name="team", members=["b1", "c1", "d1"])
        await group.conversation.send("to all")
        posted = await post_group(alice, group.id, receivers=["b1"])
        await group.conversation.send("after")
        for watch in (at_bob, at_carol):
            await watch.wait_for_message(lambda m: m.text == "after")
        assert texts(at_bob.messages) == ["to all", "secret", "after"]
        assert texts(at_carol.messages) == ["to all", "after"]
        # no push to the device that sent; alice's Client, which did not send it, may still fetch it as a missing entry
        assert not any("secret" in json.dumps(push) for push in pushes)
        for client, expected in ((bob, ["after", "secret", "to all"]), (carol_away, ["after", "to all"])):
            page = await client.group(group.id).get_messages(20)
            assert page.complete
            assert texts(list(page)) == expected
            assert [m.text for m in await client.group(group.id).search("secret")] == expected[1:2] * (client is bob)
        assert (bob.group(group.id).unread, carol_away.group(group.id).unread) == (2, 2)
        (seen,) = [m for m in at_bob.messages if m.text == "secret"]
        assert (seen.seq, seen.excluded_from_unread) == (posted.msg_seq, True)

        # its last place in the list is for its receivers, on a new device too
        await post_group(alice, group.id, receivers=["b1"])
        async with server.client("b1") as bob_2, server.client("d1") as dave, server.client("a1") as alice_2:
            for client, text in ((bob_2, "secret"), (dave, "after"), (alice_2, "secret")):
                last = client.group(group.id).last_message
                assert last is not None
                assert last.text == text
            assert texts(list(await dave.group(group.id).get_messages(20))) == ["after", "to all"]
            assert texts(list(await alice_2.group(group.id).get_messages(20))) == ["secret", "after", "secret", "to all"]
            assert (bob_2.group(group.id).unread, dave.group(group.id).unread) == (2, 2)
            items = await page_items(dave)
            assert b"secret" not in msgspec.json.encode(items)
    async with server.client("c1", data_dir=tmp_path / "c1") as carol:  # a device that was away
        assert texts(list(await carol.group(group.id).get_messages(20))) == ["after", "to all"]
        assert (await carol.group(group.id).coverage()).complete


async def test_actions_on_a_targeted_message_are_seen_by_its_receivers_alone(server: RunningServer) -> None:
    await server.add_users("b2", "c2")
    async with server.client("a2") as alice, server.client("b2") as bob, server.client("c2") as carol:
        events = (MessageEdited, MessageRecalled, ReactionsChanged)
        at_bob, at_carol, at_alice = EventRecorder(bob, *events), EventRecorder(carol, *events), EventRecorder(alice, *events)
        group = await alice.groups.create("Public", name="team", members=["b2", "c2"])
        posted = await post_group(alice, group.id, receivers=["b2"])
        (own,) = await alice.group(group.id).get_messages(1)
        assert own.seq == posted.msg_seq
        await own.edit("changed secret")
        assert (await at_bob.wait_for_event(MessageEdited)).message.text == "changed secret"
        received = next(m for m in at_bob.messages if m.key == own.key)
        await received.react("👍")
        await at_alice.wait_for_event(ReactionsChanged)
        link = carol.engine.connection.link()
        raw = await link.call(wire.ROAM_GROUP, wire.RoamGroupRequest(group_id=group.id, timeline_range=(1, 100)), timeout_s=5)
        assert all(b"secret" not in bytes(one) and "👍".encode() not in bytes(one) for one in raw.messages)
        plain = await link.call(wire.ROAM_GROUP, wire.RoamGroupRequest(group_id=group.id), timeout_s=5)
        assert all(b"secret" not in bytes(one) for one in plain.messages)
        acts = await link.call(
            action_wire.GET_MESSAGE_ACTIONS,
            action_wire.GetMessageActionsRequest(group_id=group.id, timeline_range=(1, 100)),
            timeout_s=5,
        )
        assert acts.actions == []
        react = action_wire.ReactRequest(group_id=group.id, seq=posted.msg_seq, reaction="👀")
        with pytest.raises(timim.UnknownMessage):
            await link.call(action_wire.REACT_TO, react, timeout_s=5)
        await own.recall()
        await at_bob.wait_for_event(MessageRecalled)
        await group.conversation.send("end")
        await at_carol.wait_for_message(lambda m: m.text == "end")
        assert at_carol.events == []
        assert [m.text for m in await carol.group(group.id).get_messages(20) if m.recalled or m.text] == ["end"]
        assert carol.group(group.id).unread == 1


async def test_receivers_that_cannot_be_served_are_refused(server: RunningServer) -> None:
    await server.add_users("b3", "x3")
    async with server.client("a3") as alice:
        group = await alice.groups.create("Public", name="team", members=["b3"])
        room = await alice.groups.create("AVChatRoom", name="room")
        for where, fields, words in (
            (group.id, {"receivers": ["x3"]}, "x3"),
            (group.id, {"receivers": [f"u{n}" for n in range(51)]}, "50"),
            (group.id, {"receivers": ["b3"], "receipt": 1}, "NeedReadReceipt"),
            (room.id, {"receivers": ["a3"]}, "AVChatRoom"),
            (group.id, {"control": ["NoSuch"]}, "NoSuch"),
            (group.id, {"without_callbacks": ["ForbidBeforeSendMsgCallback"]}, "ForbidCallbackControl"),
        ):
            with pytest.raises(timim.InvalidArgument, match=words) as refused:
                await post_group(alice, where, **fields)
            assert refused.value.code == 10004
        refused_c2c: list[tuple[dict[str, Any], str]] = [
            ({"sync_other_machine": 2}, "SyncOtherMachine"),
            ({"msg_life_time": -1}, "MsgLifeTime"),
            ({"control": ["NoSuch"]}, "NoSuch"),
            ({"without_callbacks": ["ForbidAfterSendMsgCallback"]}, "ForbidCallbackControl"),
        ]
        for fields, words in refused_c2c:
            with pytest.raises(timim.InvalidArgument, match=words) as refused:
                await post_c2c(alice, "b3", **fields)
            assert refused.value.code == 90001
        assert len(await group.conversation.get_messages(5)) == 0


async def test_an_online_message_in_a_group_is_stored_nowhere(server: RunningServer, tmp_path: Path) -> None:
    await server.add_users("b4", "c4", "d4")
    async with (
        server.client("a4") as alice,
        server.client("b4") as bob,
        server.client("c4") as carol,
        Foreign(server, "d4") as dave,
    ):
        at_bob, at_carol = EventRecorder(bob), EventRecorder(carol)
        group = await alice.groups.create("Public", name="team", members=["b4", "c4", "d4"])
        posted = await post_group(alice, group.id, online_only=1)
        assert posted.msg_seq == 0
        for watch in (at_bob, at_carol):
            assert (await watch.wait_for_message(lambda m: m.text == "secret")).seq == 0
        pushed = (await dave.event(3))["GroupMsgArray"]
        assert isinstance(pushed, list)
        assert pushed[0]["OnlineOnlyFlag"] == 1
        await post_group(alice, group.id, online_only=1, receivers=["c4"])
        await group.conversation.send("end")
        for watch in (at_bob, at_carol):
            await watch.wait_for_message(lambda m: m.text == "end")
        assert (texts(at_bob.messages), texts(at_carol.messages)) == (["secret", "end"], ["secret", "secret", "end"])
        assert bob.group(group.id).unread == 1
        assert texts(list(await bob.group(group.id).get_messages(20))) == ["end"]
        room = await alice.groups.create("AVChatRoom", name="room")
        assert (await post_group(alice, room.id, online_only=1)).msg_seq > 0  # there the flag has no effect
        assert (await post_c2c(alice, "d4", online_only=1)).timeline_seq == 0
        single = (await dave.event(9))["C2cMsgArray"]
        assert isinstance(single, list)
        assert single[0]["MsgLifeTime"] == 0


@pytest.mark.parametrize("form", ["names", "object"])
async def test_send_msg_control_is_obeyed_in_c2c_and_groups(server: RunningServer, form: str, tmp_path: Path) -> None:
    ids = (f"a5{form}", f"b5{form}")
    await server.add_users(ids[1])

    def control(*names: str) -> list[str] | MessageControl:
        if form == "names":
            return [*names, "WithMuteNotifications"]
        return MessageControl(no_unread=int("NoUnread" in names), no_last=int("NoLastMsg" in names))

    away = server.client(ids[1], data_dir=tmp_path)
    async with server.client(ids[0]) as alice, server.client(ids[1]) as bob:
        at_bob = EventRecorder(bob)
        group = await alice.groups.create("Public", name="team", members=[ids[1]])
        await alice.c2c(ids[1]).send("one")
        await group.conversation.send("one")
        for names in (("NoUnread",), ("NoLastMsg",), ("NoUnread", "NoLastMsg")):
            await post_c2c(alice, ids[1], control=control(*names))
            await post_group(alice, group.id, control=control(*names))
        await at_bob.wait_for_messages(8)
        for conversation, peer in ((bob.c2c(ids[0]), ids[0]), (bob.group(group.id), group.id)):
            assert conversation.unread == 2  # "one" and the one with NoLastMsg
            last = conversation.last_message
            assert last is not None
            assert (last.excluded_from_unread, last.excluded_from_last_message) == (True, False)
            item = (await page_items(bob))[peer]
            assert isinstance(item.message, msgspec.Raw)
            assert msgspec.json.decode(item.message)["TimelineSeq"] == last.seq
            assert item.unread_now == 2
    async with away:  # a new device counts in the same way
        for conversation in (away.c2c(ids[0]), away.group(group.id)):
            assert conversation.unread == 2
            await conversation.fetch_missing()
            assert conversation.unread == 2
            last = conversation.last_message
            assert last is not None
            assert not last.excluded_from_last_message
    async with server.client(ids[1], data_dir=tmp_path) as again:
        assert again.c2c(ids[0]).unread == 2
        last = again.c2c(ids[0]).last_message
        assert last is not None
        assert not last.excluded_from_last_message


async def test_a_message_past_its_life_time_is_history_and_not_news(server: RunningServer, tmp_path: Path) -> None:
    await server.add_users("b6")
    async with server.client("b6", data_dir=tmp_path):
        pass
    async with server.client("a6") as alice:
        await alice.c2c("b6").send("stays")
        await post_c2c(alice, "b6", msg_life_time=60)
        await post_c2c(alice, "b6", msg_life_time=3600)
        server.clock.jump(600)
        bob = server.client("b6", data_dir=tmp_path)
        at_bob = EventRecorder(bob)
        async with bob, Foreign(server, "b6") as web:
            await at_bob.wait_for_messages(2)
            assert [(m.text, m.seq) for m in at_bob.messages] == [("stays", 1), ("secret", 3)]
            assert [m.seq for m in await bob.c2c("a6").get_messages(5)] == [3, 2, 1]
            missed = await web.link.call(wire.OFFLINE_C2C, wire.OfflineC2CRequest(sync_flag=1), timeout_s=5)
            assert [msgspec.json.decode(one)["TimelineSeq"] for one in missed.messages] == [1, 3]


async def test_typing_is_an_event_and_no_message(server: RunningServer) -> None:
    await server.add_users("b7")
    async with server.client("a7") as alice, server.client("b7") as bob:
        at_bob = EventRecorder(bob, TypingChanged)
        await alice.c2c("b7").send_typing()
        assert await at_bob.wait_for_event(TypingChanged) == TypingChanged(bob.c2c("a7").key, "a7", True)
        await alice.c2c("b7").send_typing(active=False)
        await at_bob.wait_for_event(TypingChanged, lambda event: not event.active)
        old = b'[{"MsgType":"TIMCustomElem","MsgContent":{"Data":"{\\"userAction\\":14}"}}]'  # of a kit of 2019
        await post_c2c(alice, "b7", msgspec.Raw(old), msg_life_time=0)
        await at_bob.wait_for_event(TypingChanged, lambda event: event.active)
        await alice.c2c("b7").send_online("not typing")
        assert [m.text for m in await at_bob.wait_for_messages(1)] == ["not typing"]
        assert bob.c2c("a7").unread == 0
        assert len(await bob.c2c("a7").get_messages(5)) == 0
        group = await alice.groups.create("Public", name="team")
        with pytest.raises(timim.InvalidConversation):
            await group.conversation.send_typing()

"""Tests over REST of read marks and unread numbers in C2C, and of the recall of all messages of a sender in a group."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.rest import RestClient, text
from tests.support.users import Users
from tests.support.waiting import eventually
from timim import Conversation, MessageRecalled, ReadReceipt
from timim.testing import EventRecorder, RunningServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

MARK, COUNT = "openim/admin_set_msg_read", "openim/get_c2c_unread_msg_num"
GROUP = "group_open_http_svc/"


@pytest_asyncio.fixture(loop_scope="module")
async def rest(shared_server: RunningServer) -> AsyncIterator[RestClient]:
    async with RestClient(shared_server) as client:
        yield client


async def test_unread_messages_are_counted_until_they_are_marked_as_read(rest: RestClient, users: Users) -> None:
    alice = await users.login("alice")
    await users.login("bob")
    me, peer = users.id("bob"), users.id("alice")
    receipts = EventRecorder(alice, ReadReceipt)
    for number in range(3):
        sent = {"From_Account": peer, "To_Account": me, "MsgRandom": number + 1, "MsgBody": text(f"text {number}")}
        await rest.done("openim/sendmsg", sent)
    await rest.done("openim/sendmsg", {"To_Account": me, "MsgRandom": 9, "MsgBody": text("from the administrator")})
    named = await rest.done(COUNT, {"To_Account": me, "Peer_Account": [peer, "nobody"]})
    assert named["C2CUnreadMsgNumList"] == [{"Peer_Account": peer, "C2CUnreadMsgNum": 3}]
    assert named["ErrorList"] == [{"Peer_Account": "nobody", "ErrorCode": 70107}]
    assert "AllC2CUnreadMsgNum" not in named
    assert (await rest.done(COUNT, {"To_Account": me}))["AllC2CUnreadMsgNum"] == 4
    marked = {"Report_Account": me, "Peer_Account": peer}
    await rest.done(MARK, marked | {"MsgReadTime": 1})
    assert (await rest.done(COUNT, {"To_Account": me}))["AllC2CUnreadMsgNum"] == 4
    await rest.done(MARK, marked)
    assert (await receipts.wait_for_event(ReadReceipt)).conversation.peer == me
    assert (await rest.done(COUNT, {"To_Account": me}))["AllC2CUnreadMsgNum"] == 1


@pytest.mark.parametrize(
    "command, body, code",
    [
        (MARK, {"Report_Account": "nobody", "Peer_Account": "administrator"}, 20003),
        (COUNT, {"To_Account": "nobody"}, 20003),
        (COUNT, {"To_Account": "administrator", "Peer_Account": ["a"] * 11}, 90011),
        (GROUP + "delete_group_msg_by_sender", {"GroupId": "none", "Sender_Account": "a"}, 10010),
    ],
)
async def test_unknown_accounts_and_too_many_peers_are_refused(
    rest: RestClient, command: str, body: dict[str, Any], code: int
) -> None:
    assert (await rest.call(command, body))["ErrorCode"] == code


async def test_all_messages_of_one_sender_are_recalled(rest: RestClient, users: Users) -> None:
    owner = await users.login("owner")
    group = await owner.groups.create("Public", name="talk")
    recalls = EventRecorder(owner, MessageRecalled)
    body = {"GroupId": group.id, "Random": 1}
    await rest.done(GROUP + "send_group_msg", body | {"MsgBody": text("stays"), "From_Account": users.id("owner")})
    for number in range(2):
        await rest.done(GROUP + "send_group_msg", body | {"MsgBody": text(f"goes {number}")})
    wanted = {"GroupId": group.id, "Sender_Account": "administrator"}
    for _ in range(2):
        await rest.done(GROUP + "delete_group_msg_by_sender", wanted)
    for _ in range(2):
        await recalls.wait_for_event(MessageRecalled)
    left = await rest.done(GROUP + "group_msg_get_simple", {"GroupId": group.id, "ReqMsgNumber": 20})
    texts = [item["MsgBody"][0]["MsgContent"].get("Text") for item in left["RspMsgList"]]
    assert texts == ["stays"]


def has_unread(conversation: Conversation, count: int) -> bool:
    return conversation.unread == count


async def test_the_unread_number_of_a_member_is_set_back_and_forth(
    rest: RestClient, users: Users, shared_server: RunningServer
) -> None:
    owner, member = await users.login("owner"), await users.login("member")
    group = await owner.groups.create("Public", name="g", members=[users.id("member")])
    received = EventRecorder(member)
    for number in range(5):
        await group.conversation.send(f"text {number}")
    last = await received.wait_for_message(lambda m: m.text == "text 4")
    conversation = member.groups.of(group.id).conversation
    await conversation.mark_read()
    assert conversation.unread == 0
    for number, unread in ((3, 3), (0, 0), (2, 2), (99, 5)):
        body = {"GroupId": group.id, "Member_Account": users.id("member"), "UnreadMsgNum": number}
        await rest.done(GROUP + "set_unread_msg_num", body)
        await eventually(partial(has_unread, conversation, unread))
        assert last.is_read == (unread == 0)
    async with shared_server.client(users.id("member")) as device:
        assert device.groups.of(group.id).conversation.unread == 5
        await device.groups.of(group.id).conversation.mark_read()
    await eventually(lambda: conversation.unread == 0)


async def test_a_device_that_was_offline_gets_a_read_mark_that_was_set_back(
    rest: RestClient, users: Users, shared_server: RunningServer, tmp_path: Path
) -> None:
    owner = await users.login("owner")
    await rest.done("im_open_login_svc/account_import", {"UserID": users.id("member")})
    group = await owner.groups.create("Public", name="g", members=[users.id("member")])
    await group.conversation.send("one")
    await group.conversation.send("two")
    body = {"GroupId": group.id, "Member_Account": users.id("member"), "UnreadMsgNum": 1}
    device = shared_server.client(users.id("member"), data_dir=tmp_path)
    async with device:
        conversation = device.groups.of(group.id).conversation
        await conversation.mark_read()
        assert conversation.unread == 0
    await rest.done(GROUP + "set_unread_msg_num", body)
    async with device:
        assert conversation.unread == 1
        await conversation.mark_read()
    async with device:
        assert conversation.unread == 0


@pytest.mark.parametrize("type", ["Meeting", "AVChatRoom"])
async def test_a_group_that_counts_no_unread_messages_keeps_its_read_marks(rest: RestClient, users: Users, type: str) -> None:
    owner = await users.login("owner")
    group = await owner.groups.create(type, name="g")
    await group.conversation.send("one")
    body = {"GroupId": group.id, "Member_Account": users.id("owner"), "UnreadMsgNum": 1}
    await rest.done(GROUP + "set_unread_msg_num", body)
    assert group.conversation.unread == 0
    assert (await rest.call(GROUP + "set_unread_msg_num", body | {"UnreadMsgNum": -1}))["ErrorCode"] == 10004
    assert (await rest.call(GROUP + "set_unread_msg_num", body | {"Member_Account": "nobody"}))["ErrorCode"] == 10007

"""Tests of conversations over REST: lists, and deletions that reach the devices of the account."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.rest import RestClient, text
from tests.support.users import Users
from tests.support.waiting import eventually
from timim import ConversationDeleted, HistoryCleared, MessagesDeleted
from timim.testing import EventRecorder, RunningServer

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def rest(shared_server: RunningServer) -> AsyncIterator[RestClient]:
    async with RestClient(shared_server) as client:
        yield client


async def test_conversations_are_listed_and_deleted_for_an_account(users: Users, rest: RestClient) -> None:
    me, bob = await users.login("me"), await users.login("bob")
    mine, his = users.id("me"), users.id("bob")
    group = await bob.groups.create("Public", name="team", members=[mine])
    await bob.c2c(mine).send("one")
    await group.conversation.send("two")
    await eventually(lambda: me.c2c(his).unread == me.group(group.id).unread == 1)  # not a count: a notice is one more
    await me.c2c(his).set_pinned(True)
    heard = EventRecorder(me, ConversationDeleted, HistoryCleared)
    listed = await rest.done("recentcontact/get_list", {"From_Account": mine, "StartIndex": 0})
    assert listed["CompleteFlag"] == 1
    items = sorted(listed["SessionItem"], key=lambda item: item["Type"])
    assert [(one["Type"], one.get("To_Account"), one.get("GroupId"), one["TopFlag"]) for one in items] == [
        (1, his, None, 1),
        (2, None, group.id, 0),
    ]
    await rest.done("recentcontact/delete", {"From_Account": mine, "Type": 1, "To_Account": his, "ClearRamble": 1})
    await heard.wait_for_event(HistoryCleared, lambda e: e == HistoryCleared(me.c2c(his).key, 1))
    await rest.done("recentcontact/delete", {"From_Account": mine, "Type": 2, "ToGroupid": group.id})
    await heard.wait_for_event(ConversationDeleted, lambda e: e == ConversationDeleted(me.group(group.id).key))
    assert (await rest.done("recentcontact/get_list", {"From_Account": mine}))["SessionItem"] == []
    assert len((await rest.done("recentcontact/get_list", {"From_Account": his}))["SessionItem"]) == 2
    refused = await rest.call("recentcontact/delete", {"From_Account": mine, "Type": 2, "ToGroupid": "none"})
    assert refused["ErrorCode"] == 10010


async def test_messages_are_deleted_for_an_account_by_their_keys(users: Users, rest: RestClient) -> None:
    me, bob = await users.login("me"), await users.login("bob")
    mine, his = users.id("me"), users.id("bob")
    heard = EventRecorder(me, MessagesDeleted)
    sent = await rest.done(
        "openim/sendmsg", {"From_Account": his, "To_Account": mine, "MsgRandom": 5, "MsgBody": text("said by a program")}
    )
    await eventually(lambda: me.c2c(his).last_message is not None)
    asked = {"Operator_Account": mine, "Peer_Account": his, "MsgKeyList": [sent["MsgKey"], "1_2_3"]}
    assert (await rest.done("openim/delete_c2c_msg_ramble", asked))["InvalidMsgKeyList"] == ["1_2_3"]
    await heard.wait_for_event(MessagesDeleted, lambda e: e == MessagesDeleted(me.c2c(his).key, (1,)))
    assert [m.text async for m in bob.c2c(mine).history()] == ["said by a program"]
    assert [m.text async for m in me.c2c(his).history()] == []

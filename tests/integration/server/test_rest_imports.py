"""Tests of imports over REST: times and order, repetitions, unread numbers, groups and members of another system."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.rest import RestClient, text
from tests.support.users import Users
from tests.support.waiting import LIMIT_S
from timim import Client
from timim.testing import EventRecorder, RunningServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

GROUPS = "group_open_http_svc/"
NOW = int(time.time())


@pytest_asyncio.fixture(loop_scope="module")
async def rest(shared_server: RunningServer) -> AsyncIterator[RestClient]:
    async with RestClient(shared_server) as client:
        yield client


def past(users: Users, content: str, at: int, *, sync: int = 2, random: int = 1, **fields: Any) -> dict[str, Any]:
    """Return an import of a message of Alice to Bob."""
    names = {"From_Account": users.id("alice"), "To_Account": users.id("bob")}
    body = {"SyncFromOldSystem": sync, "MsgRandom": random, "MsgTimeStamp": at, "MsgBody": text(content)}
    return names | body | fields


async def accounts(rest: RestClient, users: Users, *names: str) -> None:
    await rest.done("im_open_login_svc/multiaccount_import", {"Accounts": [users.id(name) for name in names]})


async def seen(client: Client, peer: str) -> list[tuple[str, str, int]]:
    """Return sender, text and time of all C2C messages with a peer, as a user's client shows them, oldest first."""
    found = [message async for message in client.c2c(peer).history(oldest_first=True)]
    return [(message.sender, message.text, int(message.timestamp)) for message in found]


async def test_messages_of_the_past_keep_their_times_and_are_neither_pushed_nor_unread(rest: RestClient, users: Users) -> None:
    alice = await users.login("alice")
    await accounts(rest, users, "bob")
    received = EventRecorder(alice)
    for number in range(3):
        await rest.done("openim/importmsg", past(users, f"old {number}", NOW - 9000 + number, random=number + 1))
    back = {"From_Account": users.id("bob"), "To_Account": users.id("alice")}
    await rest.done("openim/importmsg", past(users, "answer", NOW - 8000, random=9, CloudCustomData="data") | back)
    unread = await rest.done("openim/get_c2c_unread_msg_num", {"To_Account": users.id("bob")})
    assert unread["AllC2CUnreadMsgNum"] == 0
    assert (await rest.done("openim/get_c2c_unread_msg_num", {"To_Account": users.id("alice")}))["AllC2CUnreadMsgNum"] == 0
    bob = await users.login("bob")
    offline = EventRecorder(bob)
    wanted = [(users.id("alice"), f"old {n}", NOW - 9000 + n) for n in range(3)] + [(users.id("bob"), "answer", NOW - 8000)]
    assert await seen(bob, users.id("alice")) == wanted
    assert await seen(alice, users.id("bob")) == wanted
    (listed,) = [one for one in bob.conversations if one.peer == users.id("alice")]
    assert (listed.unread, listed.last_message and listed.last_message.text) == (0, "answer")
    await rest.done("openim/sendmsg", back | {"MsgRandom": 10, "MsgBody": text("new")})
    await received.wait_for_message(lambda m: m.text == "new")
    assert [m.text for m in received.messages] == ["new"]
    assert [m.text for m in offline.messages if m.text != "new"] == []


async def test_a_live_import_is_pushed_and_counts_as_unread(rest: RestClient, users: Users) -> None:
    await accounts(rest, users, "alice")
    bob = await users.login("bob")
    received = EventRecorder(bob)
    for random, sync in enumerate((1, 5), 1):
        await rest.done("openim/importmsg", past(users, f"live {sync}", NOW - 100 + random, sync=sync, random=random))
    second = await received.wait_for_message(lambda m: m.text == "live 5")
    assert int(second.timestamp) == NOW - 98
    assert [m.text for m in received.messages] == ["live 1", "live 5"]
    assert bob.c2c(users.id("alice")).unread == 2


async def test_an_import_is_stored_once_whatever_its_content(rest: RestClient, users: Users) -> None:
    await accounts(rest, users, "alice")
    bob = await users.login("bob")
    first = past(users, "first", NOW - 500, MsgSeq=3)
    await rest.done("openim/importmsg", first)
    await rest.done("openim/importmsg", past(users, "later", NOW - 400, random=2))
    await rest.done("openim/importmsg", first | {"MsgBody": text("other")})
    turned = first | {"From_Account": users.id("bob"), "To_Account": users.id("alice")}
    await rest.done("openim/importmsg", turned)
    assert [content for _, content, _ in await seen(bob, users.id("alice"))] == ["first", "later"]
    again = await rest.done("openim/importmsg", first | {"MsgSeq": 4, "MsgTimeStamp": NOW - 400})
    assert again["ErrorCode"] == 0
    async with asyncio.timeout(LIMIT_S):  # history is pushed without an event
        while [content for _, content, _ in await seen(bob, users.id("alice"))] != ["first", "later", "first"]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_wrong_imports_are_refused(rest: RestClient, users: Users) -> None:
    await accounts(rest, users, "alice", "bob")
    await rest.done("openim/importmsg", past(users, "newest", NOW - 50))
    for fields, code in (
        ({"SyncFromOldSystem": 3}, 90030),
        ({"MsgTimeStamp": NOW + 9000}, 90006),
        ({"MsgTimeStamp": NOW - 51}, 90006),
        ({"MsgTimeStamp": 0}, 90006),
        ({"To_Account": "nobody"}, 20003),
        ({"MsgBody": []}, 90002),
    ):
        reply = await rest.call("openim/importmsg", past(users, "x", NOW, random=7) | fields)
        assert reply["ErrorCode"] == code, (fields, reply)
    body = past(users, "x", NOW, random=8)
    del body["SyncFromOldSystem"]
    assert (await rest.call("openim/importmsg", body))["ErrorCode"] == 90030


async def test_a_group_with_its_members_and_messages_comes_from_another_system(rest: RestClient, users: Users) -> None:
    member = await users.login("member")
    await accounts(rest, users, "owner", "guest")
    received = EventRecorder(member)
    asked = {"Type": "Public", "Name": "old club", "Owner_Account": users.id("owner"), "CreateTime": NOW - 10_000}
    group_id = (await rest.done(GROUPS + "import_group", asked))["GroupId"]
    (info,) = (await rest.done(GROUPS + "get_group_info", {"GroupIdList": [group_id]}))["GroupInfo"]
    assert (info["CreateTime"], info["Owner_Account"], info["MemberNum"]) == (NOW - 10_000, users.id("owner"), 1)
    messages: list[dict[str, Any]] = [
        {"From_Account": users.id(name), "SendTime": NOW - 9000 + n, "Random": n, "MsgBody": text(f"{name} {n}")}
        for n, name in enumerate(("owner", "guest", "owner"))
    ]
    sent = {"GroupId": group_id, "RecentContactFlag": 1, "MsgList": messages}
    results = (await rest.done(GROUPS + "import_group_msg", sent))["ImportMsgResult"]
    assert results == [{"MsgSeq": n + 1, "MsgTime": NOW - 9000 + n, "Result": 0} for n in range(3)]
    assert (await rest.done(GROUPS + "import_group_msg", sent))["ImportMsgResult"] == results
    members = [{"Member_Account": users.id("member"), "Role": "Admin", "JoinTime": NOW - 9500, "UnreadMsgNum": 2}]
    members += [{"Member_Account": users.id("owner")}, {"Member_Account": "nobody"}]
    added = await rest.done(GROUPS + "import_group_member", {"GroupId": group_id, "MemberList": members})
    assert [one["Result"] for one in added["MemberList"]] == [1, 2, 0]
    listed = (await rest.done(GROUPS + "get_group_member_info", {"GroupId": group_id}))["MemberList"]
    facts = [(one["Member_Account"], one["Role"], one["JoinTime"]) for one in listed]
    assert facts[1] == (users.id("member"), "Admin", NOW - 9500)
    conversation = member.groups.of(group_id).conversation
    shown = [(m.sender, m.text, int(m.timestamp)) async for m in conversation.history(oldest_first=True)]
    assert shown == [(one["From_Account"], one["MsgBody"][0]["MsgContent"]["Text"], one["SendTime"]) for one in messages]
    assert received.messages == []
    live = await rest.done(GROUPS + "send_group_msg", {"GroupId": group_id, "Random": 1, "MsgBody": text("now")})
    assert live["MsgSeq"] == 4
    await received.wait_for_message(lambda m: m.text == "now")
    assert [m.text for m in received.messages] == ["now"]


async def test_an_import_to_a_group_sets_the_unread_numbers_of_all_members_to_0(rest: RestClient, users: Users) -> None:
    owner, _ = await users.login("owner"), await users.login("member")
    group = await owner.groups.create("Public", name="g", members=[users.id("member")])
    received = EventRecorder(owner)
    await rest.done(GROUPS + "send_group_msg", {"GroupId": group.id, "Random": 1, "MsgBody": text("unread")})
    await received.wait_for_message(lambda m: m.text == "unread")
    assert group.conversation.unread == 1
    message = {"From_Account": users.id("member"), "SendTime": int(time.time()), "MsgBody": text("imported")}
    result = await rest.done(GROUPS + "import_group_msg", {"GroupId": group.id, "MsgList": [message, message]})
    assert [one["Result"] for one in result["ImportMsgResult"]] == [0, 0]
    assert result["ImportMsgResult"][0]["MsgSeq"] + 1 == result["ImportMsgResult"][1]["MsgSeq"]
    await rest.done(GROUPS + "send_group_msg", {"GroupId": group.id, "Random": 2, "MsgBody": text("after")})
    await received.wait_for_message(lambda m: m.text == "after")
    assert group.conversation.unread == 1


async def test_wrong_imports_to_groups_are_refused(rest: RestClient, users: Users) -> None:
    await accounts(rest, users, "owner")
    owner = users.id("owner")
    asked = {"Type": "Public", "Name": "club", "Owner_Account": owner, "CreateTime": NOW - 1000}
    for fields, code in (({"CreateTime": NOW + 9000}, 10004), ({"Type": "AVChatRoom"}, 10007), ({"Name": ""}, 10004)):
        assert (await rest.call(GROUPS + "import_group", asked | fields))["ErrorCode"] == code
    group_id = (await rest.done(GROUPS + "import_group", asked))["GroupId"]

    def message(at: int, sender: str = owner, content: str = "x") -> dict[str, Any]:
        return {"From_Account": sender, "SendTime": at, "Random": 5, "MsgBody": text(content)}

    sent = [message(NOW - 1001), message(NOW - 500), message(NOW - 501), message(NOW + 9000), message(NOW - 400, "nobody")]
    sent.append(message(NOW - 400, content="y" * 20_000))
    results = (await rest.done(GROUPS + "import_group_msg", {"GroupId": group_id, "MsgList": sent}))["ImportMsgResult"]
    assert [one["Result"] for one in results] == [10004, 0, 10004, 10004, 20003, 80002]
    too_many = {"GroupId": group_id, "MsgList": [message(NOW - 300)] * 21}
    assert (await rest.call(GROUPS + "import_group_msg", too_many))["ErrorCode"] == 10004
    early = {"GroupId": group_id, "MemberList": [{"Member_Account": "administrator", "JoinTime": NOW - 1001}]}
    assert (await rest.call(GROUPS + "import_group_member", early))["ErrorCode"] == 10004
    room = await rest.done(GROUPS + "create_group", {"Type": "AVChatRoom", "Name": "room"})
    for command, body in (("import_group_msg", {"MsgList": [message(NOW)]}), ("import_group_member", early)):
        assert (await rest.call(GROUPS + command, body | {"GroupId": room["GroupId"]}))["ErrorCode"] == 10007

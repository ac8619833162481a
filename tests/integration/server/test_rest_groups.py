"""Tests of groups over REST: messages of those who are not members, repeated requests, history, roles, mutes, notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.rest import RestClient, text
from tests.support.users import Users
from timim import Client, Group, GroupNoticeReceived, Muted
from timim.testing import EventRecorder, RunningServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

GROUPS = "group_open_http_svc/"
SEND, HISTORY = GROUPS + "send_group_msg", GROUPS + "group_msg_get_simple"


@pytest_asyncio.fixture(loop_scope="module")
async def rest(shared_server: RunningServer) -> AsyncIterator[RestClient]:
    async with RestClient(shared_server) as client:
        yield client


async def a_group(users: Users, type: str = "Public") -> tuple[Client, Client, Group]:
    """Return the owner and a member of a new group, and the group."""
    owner, member = await users.login("owner"), await users.login("member")
    group = await owner.groups.create(type, name="g", members=[users.id("member")])
    return owner, member, group


def message(group: Group, content: str, random: int = 7, **fields: Any) -> dict[str, Any]:
    return {"GroupId": group.id, "Random": random, "MsgBody": text(content), **fields}


@pytest.mark.parametrize("type", ["Work", "Public", "Meeting", "Community", "AVChatRoom"])
async def test_an_administrator_speaks_in_a_group_without_being_a_member(rest: RestClient, users: Users, type: str) -> None:
    owner = await users.login("owner")
    group = await owner.groups.create(type, name="g")
    received = EventRecorder(owner)
    reply = await rest.done(SEND, message(group, "from outside", CloudCustomData="data"))
    arrived = await received.wait_for_message(lambda m: m.text == "from outside")
    assert (arrived.sender, arrived.cloud_custom_data, arrived.seq) == ("administrator", "data", reply["MsgSeq"])
    await rest.done("im_open_login_svc/account_import", {"UserID": users.id("guest"), "Nick": "Guest"})
    await rest.done(SEND, message(group, "as a guest", From_Account=users.id("guest"), MsgPriority="High"))
    assert (await received.wait_for_message(lambda m: m.text == "as a guest")).sender == users.id("guest")
    assert (await rest.call(SEND, message(group, "lost", From_Account="nobody")))["ErrorCode"] == 20003
    assert (await rest.call(SEND, {"GroupId": group.id, "MsgBody": text("no number")}))["ErrorCode"] == 10004


async def test_one_random_in_all_messages_loses_none_and_repeats_none(rest: RestClient, users: Users) -> None:
    _, member, group = await a_group(users)
    received = EventRecorder(member)
    first, *repeated = await asyncio.gather(*(rest.done(SEND, message(group, "one")) for _ in range(4)))
    assert {(reply["MsgSeq"], reply["MsgTime"]) for reply in repeated} == {(first["MsgSeq"], first["MsgTime"])}
    second = await rest.done(SEND, message(group, "two"))
    assert second["MsgSeq"] == first["MsgSeq"] + 1
    await received.wait_for_message(lambda m: m.text == "two")
    one, two = [m for m in received.messages if m.text]
    assert (one.text, two.text) == ("one", "two")
    assert one.msg_id != two.msg_id


async def test_a_muted_account_stays_muted_and_an_administrator_is_not(rest: RestClient, users: Users) -> None:
    _, member, group = await a_group(users)
    names = {"GroupId": group.id, "Members_Account": [users.id("member")]}
    await rest.done(GROUPS + "forbid_send_msg", names | {"MuteTime": 600})
    muted = await rest.done(GROUPS + "get_group_shutted_uin", {"GroupId": group.id})
    newer = await rest.done(GROUPS + "get_group_muted_account", {"GroupId": group.id})
    assert muted == newer
    (one,), (other,) = muted["ShuttedUinList"], muted["MutedAccountList"]
    assert one["Member_Account"] == other["Member_Account"] == users.id("member")
    assert one["ShuttedUntil"] == other["MutedUntil"] > 0
    with pytest.raises(Muted):
        await member.groups.of(group.id).conversation.send("not now")
    assert (await rest.call(SEND, message(group, "x", From_Account=users.id("member"))))["ErrorCode"] == 10017
    await rest.done(GROUPS + "modify_group_base_info", {"GroupId": group.id, "ShutUpAllMember": "On"})
    await rest.done(SEND, message(group, "the administrator speaks"))
    await rest.done(GROUPS + "modify_group_base_info", {"GroupId": group.id, "ShutUpAllMember": "Off"})
    await rest.done(GROUPS + "forbid_send_msg", names | {"ShutUpTime": 0})
    assert (await rest.done(GROUPS + "get_group_shutted_uin", {"GroupId": group.id}))["ShuttedUinList"] == []
    await member.groups.of(group.id).conversation.send("now")
    unknown = {"GroupId": group.id, "Members_Account": ["nobody"], "MuteTime": 1}
    assert (await rest.call(GROUPS + "forbid_send_msg", unknown))["ErrorCode"] == 10004


async def test_members_of_a_work_group_cannot_be_muted(rest: RestClient, users: Users) -> None:
    _, _, group = await a_group(users, "Work")
    body = {"GroupId": group.id, "Members_Account": [users.id("member")], "MuteTime": 1}
    assert (await rest.call(GROUPS + "forbid_send_msg", body))["ErrorCode"] == 10007


async def test_roles_and_online_members(rest: RestClient, users: Users) -> None:
    _, _, group = await a_group(users)
    asked = {"GroupId": group.id, "User_Account": [users.id("owner"), users.id("member"), "nobody"]}
    reply = await rest.done(GROUPS + "get_role_in_group", asked)
    assert [(item["Member_Account"], item["Role"]) for item in reply["UserIdList"]] == [
        (users.id("owner"), "Owner"),
        (users.id("member"), "Member"),
        ("nobody", "NotMember"),
    ]
    assert (await rest.call(GROUPS + "get_role_in_group", {"GroupId": group.id}))["ErrorCode"] == 10005
    assert (await rest.call(GROUPS + "get_role_in_group", asked | {"GroupId": "none"}))["ErrorCode"] == 10010
    assert (await rest.done(GROUPS + "get_online_member_num", {"GroupId": group.id}))["OnlineMemberNum"] == 2


@pytest.mark.parametrize("to", [[], ["member"]])
async def test_a_notice_reaches_the_named_members_or_all(rest: RestClient, users: Users, to: list[str]) -> None:
    owner, member, group = await a_group(users)
    devices = {name: EventRecorder(client, GroupNoticeReceived) for name, client in (("owner", owner), ("member", member))}
    body = {"GroupId": group.id, "Content": "mind the gap", "ToMembers_Account": [users.id(name) for name in to]}
    await rest.done(GROUPS + "send_group_system_notification", body)
    for name in to or devices:
        event = await devices[name].wait_for_event(GroupNoticeReceived, lambda e: e.notice.type == 255)
        assert (event.group_id, event.notice.user_field) == (group.id, "mind the gap")
    if to:
        assert [e.notice.type for e in devices["owner"].events if isinstance(e, GroupNoticeReceived)] in ([], [6])
    body["ToMembers_Account"] = ["nobody"]
    assert (await rest.call(GROUPS + "send_group_system_notification", body))["ErrorCode"] == 10004


async def test_the_history_of_a_group_goes_back_in_pages(rest: RestClient, users: Users) -> None:
    _, _, group = await a_group(users)
    seqs = [(await rest.done(SEND, message(group, f"text {n}")))["MsgSeq"] for n in range(5)]
    await rest.done(GROUPS + "group_msg_recall", {"GroupId": group.id, "MsgSeqList": [{"MsgSeq": seqs[3]}]})
    page = await rest.done(HISTORY, {"GroupId": group.id, "ReqMsgNumber": 3})
    assert [item["MsgBody"][0]["MsgContent"]["Text"] for item in page["RspMsgList"]] == ["text 4", "text 2"]
    facts = ("IsPlaceMsg", "IsSystemMsg", "MsgPriority", "MsgRandom")
    assert [[item[fact] for fact in facts] for item in page["RspMsgList"]] == [[0, 0, 2, 7]] * 2
    assert page["IsFinished"] == 0
    page = await rest.done(HISTORY, {"GroupId": group.id, "ReqMsgNumber": 2, "WithRecalledMsg": 1})
    assert [(item["MsgSeq"], item["IsPlaceMsg"]) for item in page["RspMsgList"]] == [(seqs[4], 0), (seqs[3], 2)]
    page = await rest.done(HISTORY, {"GroupId": group.id, "ReqMsgNumber": 20, "ReqMsgSeq": seqs[0]})
    assert page["RspMsgList"][0]["MsgSeq"] == seqs[0]
    assert [item["IsSystemMsg"] for item in page["RspMsgList"]] == [0] + [1] * (len(page["RspMsgList"]) - 1)
    assert page["IsFinished"] == 1
    for count in (0, 21):
        assert (await rest.call(HISTORY, {"GroupId": group.id, "ReqMsgNumber": count}))["ErrorCode"] == 10004


async def test_all_groups_are_listed_in_pages(rest: RestClient, users: Users) -> None:
    owner = await users.login("owner")
    made = {(await owner.groups.create("Meeting", name=f"g{n}")).id for n in range(3)}
    whole = await rest.done(GROUPS + "get_appid_group_list", None, method="GET")
    ids = [item["GroupId"] for item in whole["GroupIdList"]]
    assert made <= set(ids)
    assert (whole["TotalCount"], whole["Next"]) == (len(ids), 0)
    paged: list[str] = []
    after = 0
    while True:
        page = await rest.done(GROUPS + "get_appid_group_list", {"Limit": 2, "Next": after, "GroupType": "ChatRoom"})
        paged += [item["GroupId"] for item in page["GroupIdList"]]
        if not (after := page["Next"]):
            break
    assert len(paged) == page["TotalCount"]
    assert made <= set(paged) <= set(ids)
    assert (await rest.call(GROUPS + "get_appid_group_list", {"GroupType": "Other"}))["ErrorCode"] == 10004


async def test_a_message_to_some_members_and_an_online_message(rest: RestClient, users: Users) -> None:
    owner, member, group = await a_group(users)
    devices = EventRecorder(owner), EventRecorder(member)
    await rest.done(SEND, message(group, "for one", To_Account=[users.id("member")]))
    await rest.done(SEND, message(group, "now", OnlineOnlyFlag=1))
    await rest.done(SEND, message(group, "for all"))
    for received in devices:
        await received.wait_for_message(lambda m: m.text == "for all")
    assert [m.text for m in devices[1].messages if m.text] == ["for one", "now", "for all"]
    assert [m.text for m in devices[0].messages if m.text] == ["now", "for all"]
    stored = await rest.done(HISTORY, {"GroupId": group.id, "ReqMsgNumber": 2})
    assert [item["MsgBody"][0]["MsgContent"]["Text"] for item in stored["RspMsgList"]] == ["for all", "for one"]

"""A client of Tencent's REST API, unmodified, judges the server: `tencentcloud-sdk-python-im`, in which only the URL differs.

Values are compared, not only codes, and a user's device sees the effects.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from tencentcloud_im import tcim_client as tencent

from tests.support.users import Users
from tests.support.waiting import LIMIT_S, eventually
from timim import FileElem, GroupNoticeReceived, MessageRecalled
from timim.testing import EventRecorder, RunningServer

pytestmark = [pytest.mark.judge, pytest.mark.asyncio(loop_scope="module")]


class Judge:
    """The client, whose methods block, in a thread. Its calls go to the gateways in turns."""

    def __init__(self, server: RunningServer) -> None:
        self._gateways = itertools.cycle(
            tencent.TCIMClient(
                server.app_id, server.secret_key, "administrator", tencent_url=url.replace("ws", "http", 1) + "/v4"
            )
            for url in server.urls
        )

    async def call(self, method: str, *args: Any, **options: Any) -> dict[str, Any]:
        response = await asyncio.to_thread(getattr(next(self._gateways), method), *args, **options)
        assert response is not None, f"{method} raised an error in the client; see its log"
        assert response.status_code == 200
        reply: dict[str, Any] = response.json()
        return reply

    async def done(self, method: str, *args: Any, **options: Any) -> dict[str, Any]:
        reply = await self.call(method, *args, **options)
        assert (reply["ActionStatus"], reply["ErrorCode"]) == ("OK", 0), (method, reply)
        return reply


@pytest_asyncio.fixture(loop_scope="module")
async def judge(shared_server: RunningServer) -> AsyncIterator[Judge]:
    yield Judge(shared_server)


def said(text: str) -> tencent.MessageText:
    return tencent.MessageText(text)


async def test_accounts(judge: Judge, users: Users) -> None:
    watcher = await users.login("watcher")
    new, many, online = users.id("new"), [users.id("a"), users.id("b")], users.id("watcher")
    await judge.done("add_single_user", new, "Nick", "https://example.com/f.png")
    profile = (await watcher.profiles.get([new]))[new]
    assert (profile.nickname, profile.face_url) == ("Nick", "https://example.com/f.png")
    assert (await judge.done("batch_add_users", [*many, "x" * 33]))["FailAccounts"] == ["x" * 33]
    found = (await judge.done("search_user", [new, *many, "nobody"]))["ResultItem"]
    assert [item["AccountStatus"] for item in found] == ["Imported"] * 3 + ["NotImported"]
    status = await judge.done("check_user_online", [online, new, "nobody"])
    assert [(item["To_Account"], item["Status"]) for item in status["QueryResult"]] == [(online, "Online"), (new, "Offline")]
    assert status["ErrorList"] == [{"To_Account": "nobody", "ErrorCode": 70107}]
    await judge.done("abolition_user_sig", new)
    assert (await judge.call("abolition_user_sig", "nobody"))["ErrorCode"] == 70107


async def test_c2c_messages(judge: Judge, users: Users) -> None:
    alice, bob = await users.login("alice"), await users.login("bob")
    received, recalls = EventRecorder(bob), EventRecorder(bob, MessageRecalled)
    names = users.id("alice"), users.id("bob")
    file = tencent.MessageFile("https://example.com/a.pdf", 1234, "a.pdf")
    sent = await judge.done("send_message", tencent.MessageObj(*names, [said("one")], [file], extra_data="data"))
    message = await received.wait_for_message()
    assert (message.sender, message.cloud_custom_data, message.elems[0].text) == (names[0], "data", "one")  # type: ignore[union-attr]
    assert isinstance(message.elems[1], FileElem)
    batch = tencent.BatchMessageObj(names[0], [names[1], "nobody"], [said("to many")])
    reply = await judge.done("batch_send_message", batch)
    assert reply["ErrorList"] == [{"To_Account": "nobody", "ErrorCode": 70107}]
    await received.wait_for_message(lambda m: m.text == "to many")
    now = int(time.time())
    page = await judge.done("get_message_list", *names, 1, now - 600, now + 600)
    assert [item["MsgBody"][0]["MsgContent"]["Text"] for item in page["MsgList"]] == ["to many"]
    assert (page["Complete"], page["MsgCnt"], page["LastMsgKey"]) == (0, 1, reply["MsgKey"])
    page = await judge.done("get_message_list", *names, 1, now - 600, page["LastMsgTime"], page["LastMsgKey"])
    assert [item["MsgKey"] for item in page["MsgList"]] == [sent["MsgKey"]]
    assert page["MsgList"][0]["MsgBody"][1]["MsgContent"] == file.MsgContent
    await judge.done("draw_message", *names, sent["MsgKey"])
    await recalls.wait_for_event(MessageRecalled)
    assert (await judge.call("draw_message", *names, sent["MsgKey"]))["ErrorCode"] == 20023
    assert alice.user_id == names[0]


async def test_friends(judge: Judge, users: Users) -> None:
    alice, _ = await users.login("alice"), await users.login("bob")
    me, peer = users.id("alice"), users.id("bob")
    friends = [tencent.FriendObj(peer, "test", "my friend"), tencent.FriendObj("nobody", "test")]
    added = await judge.done("add_friend", me, friends)
    assert [item["ResultCode"] for item in added["ResultItem"]] == [0, 20003]
    assert added["Fail_Account"] == ["nobody"]
    (friend,) = await alice.friends.list()
    assert (friend.user_id, friend.remark) == (peer, "my friend")
    item = tencent.SnsItemObj("Tag_SNS_IM_Remark", "best friend")
    await judge.done("update_friend", me, [tencent.UpdateFriendObj(peer, [item])])
    await judge.done("add_sns_group", me, ["team"], [peer])
    (shown,) = (await judge.done("get_friends", me))["UserDataItem"]
    values = {value["Tag"]: value["Value"] for value in shown["ValueItem"]}
    assert (values["Tag_SNS_IM_Remark"], values["Tag_SNS_IM_Group"]) == ("best friend", ["team"])
    chosen = await judge.done("get_target_friends", me, [peer, "nobody"], ["Tag_SNS_IM_Remark"])
    assert chosen["InfoItem"][0]["SnsProfileItem"] == [{"Tag": "Tag_SNS_IM_Remark", "Value": "best friend"}]
    assert (chosen["InfoItem"][1]["ResultCode"], chosen["Fail_Account"]) == (31704, ["nobody"])
    groups = (await judge.done("get_sns_group", me))["ResultItem"]
    assert groups == [{"GroupName": "team", "FriendNumber": 1, "To_Account": [peer]}]
    await judge.done("delete_sns_group", me, ["team"])
    assert (await judge.done("get_sns_group", me))["ResultItem"] == []
    await judge.done("delete_friends", me, [peer])
    assert not await alice.friends.list()


async def test_groups_and_their_members(judge: Judge, users: Users) -> None:
    owner, member = users.id("owner"), users.id("member")
    device, _ = await users.login("owner"), await users.login("member")
    made = tencent.GroupObj(owner, "Public", "club", "intro", "note", mem_list=[tencent.GroupMemObj(member)])
    group_id = (await judge.done("create_group", made))["GroupId"]
    assert {"GroupId": group_id} in (await judge.done("get_group"))["GroupIdList"]
    (info,) = (await judge.done("get_group_detail", [group_id]))["GroupInfo"]
    facts = [info[name] for name in ("Name", "Introduction", "Notification", "Owner_Account", "MemberNum", "MaxMemberNum")]
    assert facts == ["club", "intro", "note", owner, 2, 500]
    await judge.done("update_group_baseinfo", group_id, "new name", shutUpFlag="Off")
    assert (await device.groups.of(group_id).info()).name == "new name"
    await judge.done("add_single_user", users.id("third"), "", "")
    members = [tencent.GroupMemObj(users.id("third")), tencent.GroupMemObj(member)]
    added = await judge.done("add_group_member", group_id, members)
    assert [item["Result"] for item in added["MemberList"]] == [1, 2]
    await judge.done("update_group_mem_info", group_id, member, "Admin", "card")
    listed = await judge.done("get_group_mem_info_detail", group_id)
    roles = {item["Member_Account"]: (item["Role"], item["NameCard"]) for item in listed["MemberList"]}
    assert roles == {owner: ("Owner", ""), member: ("Admin", "card"), users.id("third"): ("Member", "")}
    assert listed["MemberNum"] == 3
    await judge.done("forbid_send_msg", group_id, [users.id("third")], 60)
    (muted,) = (await judge.done("get_group_shutup_list", group_id))["ShuttedUinList"]
    assert muted["Member_Account"] == users.id("third")
    role = await judge.done("get_mem_role_in_group", group_id, [owner, "nobody"])
    assert [item["Role"] for item in role["UserIdList"]] == ["Owner", "NotMember"]
    await judge.done("delete_group_mem", group_id, [users.id("third")])
    await judge.done("change_group_owner", group_id, member)
    assert (await device.groups.of(group_id).info()).owner == member
    assert (await judge.done("get_joined_groups", member))["TotalCount"] == 1
    assert (await judge.done("get_online_member_num", group_id))["OnlineMemberNum"] == 2
    await judge.done("update_group_attr", group_id, [tencent.GroupAttr("colour", "red")])
    (attribute,) = (await judge.done("get_group_attr", group_id))["GroupAttrAry"]
    assert (attribute["key"], attribute["value"]) == ("colour", "red")
    await judge.done("clean_group_attr", group_id)
    assert (await judge.done("get_group_attr", group_id))["GroupAttrAry"] == []
    await judge.done("delete_group", group_id)
    assert (await judge.done("get_group_detail", [group_id]))["GroupInfo"][0]["ErrorCode"] == 10010


async def test_messages_of_groups(judge: Judge, users: Users) -> None:
    owner = await users.login("owner")
    group = await owner.groups.create("Public", name="talk")
    received = EventRecorder(owner, GroupNoticeReceived, MessageRecalled)
    sent = await judge.done("send_group_message", group.id, [said("hello")])
    message = await received.wait_for_message(lambda m: m.text == "hello")
    assert (message.sender, message.seq) == ("administrator", sent["MsgSeq"])
    page = await judge.done("get_msg_in_group", group.id, 5)
    assert page["RspMsgList"][0]["MsgBody"][0]["MsgContent"] == {"Text": "hello"}
    await judge.done("send_system_message_in_group", group.id, "notice")
    event = await received.wait_for_event(GroupNoticeReceived, lambda e: e.notice.type == 255)
    assert event.notice.user_field == "notice"
    recalled = await judge.done("recall_group_message", group.id, [sent["MsgSeq"], 9999])
    assert [item["RetCode"] for item in recalled["RecallRetList"]] == [0, 10030]
    await received.wait_for_event(MessageRecalled)


async def test_imports_deletions_and_unread_numbers(judge: Judge, users: Users) -> None:
    owner, member = await users.login("owner"), await users.login("member")
    old = int(time.time()) - 1000
    group = await owner.groups.create("Public", name="g")
    members = [tencent.GroupMemObj(users.id("member")), tencent.GroupMemObj("nobody")]
    added = await judge.done("import_group_members", group.id, members)
    assert [item["Result"] for item in added["MemberList"]] == [1, 0]
    assert [one.id for one in await member.groups.joined()] == [group.id]
    received = EventRecorder(member)
    await judge.done("send_group_message", group.id, [said("hello")])
    await received.wait_for_message(lambda m: m.text == "hello")
    conversation = member.groups.of(group.id).conversation
    await judge.done("set_group_unread_msg_num", group.id, users.id("member"), 0)
    await eventually(lambda: conversation.unread == 0)
    await judge.done("set_group_unread_msg_num", group.id, users.id("member"), 1)
    await eventually(lambda: conversation.unread == 1)
    await judge.done("add_single_user", users.id("gone"), "", "")
    message = tencent.MessageObj(users.id("gone"), users.id("member"), [said("old")])
    await judge.done("import_message_to_im", message, old, 2)
    async with asyncio.timeout(LIMIT_S):  # the message reaches the device on its own way, beside the reply
        while not (history := [(m.text, int(m.timestamp)) async for m in member.c2c(users.id("gone")).history()]):  # noqa: ASYNC110  no event reports it
            await asyncio.sleep(0.01)
    assert history == [("old", old)]
    of_group = tencent.GroupMessageObj(users.id("gone"), int(time.time()), [said("imported")])
    (result,) = (await judge.done("import_message_to_group", group.id, 1, [of_group]))["ImportMsgResult"]
    assert result["Result"] == 0
    await eventually(lambda: conversation.unread == 0)
    newest = [m async for m in conversation.history(limit=1)]
    assert [(m.text, m.sender, m.seq) for m in newest] == [("imported", users.id("gone"), result["MsgSeq"])]
    await judge.done("del_user", [users.id("gone")])
    (checked,) = (await judge.done("search_user", [users.id("gone")]))["ResultItem"]
    assert checked["AccountStatus"] == "NotImported"

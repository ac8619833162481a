"""Tests of topics over REST: their properties, messages in them by an administrator, and imports."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.rest import RestClient, text
from tests.support.users import Users
from timim import ConversationChanged, GroupNoticeReceived, MessageRecalled, TopicChange, TopicsChanged
from timim.testing import EventRecorder, RunningServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

GROUPS, TOPICS = "group_open_http_svc/", "million_group_open_http_svc/"


@pytest_asyncio.fixture(loop_scope="module")
async def rest(shared_server: RunningServer) -> AsyncIterator[RestClient]:
    async with RestClient(shared_server) as client:
        yield client


async def a_town(rest: RestClient, users: Users, name: str) -> dict[str, Any]:
    """Create a Community with topics over REST, and return what names it."""
    body = {"Type": "Community", "Name": "town", "GroupId": f"@TGS#_{users.id(name)}", "SupportTopic": 1}
    return {"GroupId": (await rest.done(GROUPS + "create_group", body))["GroupId"]}


async def test_an_administrator_creates_changes_reads_and_deletes_topics(rest: RestClient, users: Users) -> None:
    town, bob = await a_town(rest, users, "a"), await users.login("bob")
    heard = EventRecorder(bob, TopicsChanged)
    assert await bob.groups.join(town["GroupId"])
    news = (await rest.done(TOPICS + "create_topic", town | {"TopicName": "news", "CustomString": "c"}))["TopicId"]
    event = await heard.wait_for_event(TopicsChanged)
    assert (event.topic_ids, event.change, event.user) == ((news,), TopicChange.CREATED, rest.admin)
    own = {"TopicId": f"{town['GroupId']}@TOPIC#_sport"}
    assert (await rest.done(TOPICS + "create_topic", town | own | {"TopicName": "sport"}))["TopicId"] == own["TopicId"]
    assert (await rest.call(TOPICS + "create_topic", town | own | {"TopicName": "sport"}))["ErrorCode"] == 10021
    assert (await rest.call(TOPICS + "create_topic", town | {"TopicName": "x", "TopicId": "t"}))["ErrorCode"] == 10015
    assert (await rest.call(TOPICS + "create_topic", {"GroupId": "none", "TopicName": "x"}))["ErrorCode"] == 10010
    await rest.done(TOPICS + "modify_topic", town | {"TopicId": news, "TopicName": "n", "ShutUpAllMember": "On"})
    assert (await rest.call(TOPICS + "modify_topic", town | {"TopicId": news, "ShutUpAllMember": "x"}))["ErrorCode"] == 10004
    found = (await rest.done(TOPICS + "get_topic", town | {"TopicIdList": [news, "none"]}))["TopicAndSelfInfo"]
    assert [(one["ErrorCode"], one["TopicInfo"]["TopicId"]) for one in found] == [(0, news), (10010, "none")]
    info = found[0]["TopicInfo"]
    assert (info["TopicName"], info["CustomString"], info["ShutUpAllMember"], info["NextMsgSeq"]) == ("n", "c", "On", 2)
    assert "SelfInfo" not in found[0]
    assert len((await rest.done(TOPICS + "get_topic", town))["TopicAndSelfInfo"]) == 2
    gone = await rest.done(TOPICS + "destroy_topic", town | {"TopicIdList": [news, "none"]})
    assert [(one["TopicId"], one["ErrorCode"]) for one in gone["DestroyResultItem"]] == [(news, 0), ("none", 10010)]
    many = town | {"TopicIdList": ["t"] * 51}
    assert (await rest.call(TOPICS + "destroy_topic", many))["ErrorCode"] == 10004
    listed = {"Member_Account": users.id("bob")}
    for asked, expected in (({"SupportTopic": 0}, []), ({"SupportTopic": 1}, [town["GroupId"]]), ({}, [town["GroupId"]])):
        reply = await rest.done(GROUPS + "get_joined_group_list", listed | asked)
        assert [one["GroupId"] for one in reply["GroupIdList"]] == expected


async def test_an_administrator_speaks_in_a_topic_and_reads_it(rest: RestClient, users: Users) -> None:
    town, bob = await a_town(rest, users, "b"), await users.login("bob")
    heard = EventRecorder(bob, MessageRecalled, GroupNoticeReceived, ConversationChanged)
    assert await bob.groups.join(town["GroupId"])
    topic = town | {"TopicId": (await rest.done(TOPICS + "create_topic", town | {"TopicName": "news"}))["TopicId"]}
    sent = await rest.done(GROUPS + "send_group_msg", topic | {"Random": 1, "MsgBody": text("hello")})
    arrived = await heard.wait_for_message(lambda m: m.text == "hello")
    assert (arrived.key and arrived.key.peer, arrived.seq) == (topic["TopicId"], sent["MsgSeq"])
    other = {"GroupId": town["GroupId"], "TopicId": "@TGS#_other@TOPIC#_news", "Random": 2, "MsgBody": text("lost")}
    assert (await rest.call(GROUPS + "send_group_msg", other))["ErrorCode"] != 0
    read = await rest.done(GROUPS + "group_msg_get_simple", topic | {"ReqMsgNumber": 5})
    assert [one["MsgBody"][0]["MsgContent"]["Text"] for one in read["RspMsgList"]] == ["hello"]
    await rest.done(GROUPS + "set_unread_msg_num", topic | {"Member_Account": users.id("bob"), "UnreadMsgNum": 0})
    await rest.done(GROUPS + "send_group_system_notification", topic | {"Content": "look"})
    notice = await heard.wait_for_event(GroupNoticeReceived, lambda e: e.notice.user_field == "look")
    assert notice.group_id == town["GroupId"]
    await rest.done(GROUPS + "group_msg_recall", topic | {"MsgSeqList": [{"MsgSeq": sent["MsgSeq"]}]})
    assert (await heard.wait_for_event(MessageRecalled)).message.seq == sent["MsgSeq"]
    await rest.done(GROUPS + "delete_group_msg_by_sender", topic | {"Sender_Account": rest.admin})
    quiet = topic | {"Member_Account": users.id("bob"), "MsgFlag": "AcceptNotNotify"}
    await rest.done(GROUPS + "modify_group_member_info", quiet)
    await heard.wait_for_event(ConversationChanged, lambda e: e.muted and e.conversation.peer == topic["TopicId"])
    assert (await rest.call(GROUPS + "modify_group_member_info", quiet | {"MsgFlag": "x"}))["ErrorCode"] == 10004
    muted = topic | {"Member_Account": users.id("bob"), "ShutUpTime": 60}
    await rest.done(GROUPS + "modify_group_member_info", muted)
    assert (await bob.groups.of(town["GroupId"]).topics.list())[0].muted_until > 0
    assert (await rest.call(GROUPS + "modify_group_member_info", muted | {"NameCard": "x"}))["ErrorCode"] == 10004


async def test_topics_are_imported_with_their_messages(rest: RestClient, users: Users) -> None:
    town, bob = await a_town(rest, users, "c"), await users.login("bob")
    assert await bob.groups.join(town["GroupId"])
    heard = EventRecorder(bob, TopicsChanged)
    made = town | {"TopicName": "old", "CreateTime": 1_500_000_000}
    topic = town | {"TopicId": (await rest.done(GROUPS + "import_topic", made))["TopicId"]}
    assert (await rest.call(TOPICS + "import_topic", made | {"CreateTime": 1 << 40}))["ErrorCode"] == 10004
    messages = [{"From_Account": users.id("bob"), "SendTime": 1_500_000_000 + n, "MsgBody": text(f"old {n}")} for n in range(3)]
    done = await rest.done(GROUPS + "import_group_msg", topic | {"MsgList": messages})
    assert [one["Result"] for one in done["ImportMsgResult"]] == [0, 0, 0]
    page = await bob.group(topic["TopicId"]).get_messages(5)
    assert [(m.text, m.timestamp) for m in page] == [(f"old {n}", 1_500_000_000 + n) for n in (2, 1, 0)]
    (listed,) = await bob.groups.of(town["GroupId"]).topics.list()
    assert (listed.name, listed.created, listed.last_seq, bob.group(topic["TopicId"]).unread) == ("old", 1_500_000_000, 3, 0)
    assert heard.events == []

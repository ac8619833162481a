"""Tests of the topics of Communities between the web client and timim's: their properties, and messages in them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.webclient import WebClient, the, web_client
from timim import (
    ConversationChanged,
    GroupChanged,
    MessageRecalled,
    Muted,
    ReactionsChanged,
    ReadReceipt,
    TopicChange,
    TopicsChanged,
)
from timim.testing import EventRecorder, RunningServer, running_server

pytestmark = pytest.mark.judge


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RunningServer]:
    async with running_server(data_dir=tmp_path / "server") as running:
        await running.add_users("bob", "carol")
        yield running


@pytest.fixture
async def alice(server: RunningServer) -> AsyncIterator[WebClient]:
    async with web_client(server, "alice") as web:
        await web.login()
        yield web


def texts(web: WebClient) -> dict[str, dict[str, Any]]:
    """Return the texts that a web client has received."""
    received = [m for e in web.events if e["event"] == "onMessageReceived" for m in e["data"]]
    return {m["payload"]["text"]: m for m in received if m["type"] == "TIMTextElem"}


async def made(web: WebClient, method: str, options: dict[str, Any]) -> None:
    """Send a message that a method of the web client makes."""
    await web.call("sendMessage", the((await web.call(method, options))["ID"]))


async def msg_flag(web: WebClient, group_id: str, topic_id: str) -> str:
    """Return how the web client notifies its user of messages in a topic; it has no event of a change."""
    (topic,) = (await web.call("getTopicList", {"groupID": group_id, "topicIDList": [topic_id]}))["successTopicList"]
    return str(topic["selfInfo"]["messageRemindType"])


async def test_topics_of_the_web_client_reach_timim(server: RunningServer, alice: WebClient) -> None:
    bob = server.client("bob")
    heard = EventRecorder(bob, TopicsChanged, GroupChanged)
    async with bob:
        town = await alice.do("createGroup", type="Community", name="town", isSupportTopic=True)
        assert await bob.groups.join(town)
        assert [g["groupID"] for g in (await alice.call("getJoinedCommunityList"))["groupList"]] == [town]
        made = {"groupID": town, "topicName": "news", "introduction": "of the town", "customData": "{}"}
        news = (await alice.call("createTopicInCommunity", made))["topicID"]
        assert news.startswith(f"{town}@TOPIC#_")
        event = await heard.wait_for_event(TopicsChanged)
        assert (event.group_id, event.topic_ids, event.change, event.user) == (town, (news,), TopicChange.CREATED, "alice")
        (topic,) = await bob.groups.of(town).topics.list()
        assert (topic.id, topic.name, topic.introduction, topic.custom) == (news, "news", "of the town", "{}")
        changed = {"groupID": town, "topicID": news, "topicName": "old news", "avatar": "http://a/b", "muteAllMembers": True}
        await alice.call("updateTopicProfile", changed)
        tip = (await heard.wait_for_event(GroupChanged, lambda e: e.group_id == news)).tip
        assert dict(tip.changes) == {"TopicName": "old news", "TopicFaceUrl": "http://a/b", "ShutupAll": 1}
        with pytest.raises(Muted):
            await bob.group(news).send("x")
        await alice.call("updateTopicProfile", {"groupID": town, "topicID": news, "muteAllMembers": False})
        await bob.group(news).send("x")
        deleted = await alice.call("deleteTopicFromCommunity", {"groupID": town, "topicIDList": [news, f"{town}@TOPIC#_none"]})
        assert [one["topicID"] for one in deleted["successTopicList"]] == [news]
        assert [(one["topicID"], one["code"]) for one in deleted["failureTopicList"]] == [(f"{town}@TOPIC#_none", 10010)]
        await heard.wait_for_event(TopicsChanged, lambda e: e.change is TopicChange.DELETED)
        assert await bob.groups.of(town).topics.list() == ()


async def test_topics_of_timim_are_shown_on_the_web(server: RunningServer, alice: WebClient) -> None:
    async with server.client("bob") as bob:
        town = await bob.groups.create("Community", name="town", members=["alice"], topics=True)
        news = await town.topics.create("news", notification="be kind")
        assert await alice.told("onTopicCreated") == {"groupID": town.id, "topicID": news}
        await bob.group(news).send("one")
        (shown,) = (await alice.call("getTopicList", {"groupID": town.id}))["successTopicList"]
        assert (shown["topicID"], shown["notification"], shown["unreadCount"], shown["muteAllMembers"]) == (
            news,
            "be kind",
            1,
            False,
        )
        assert shown["lastMessage"]["messageForShow"] == "one"
        await town.topics.edit(news, name="old news", muted_all=True)
        seen = await alice.told("onTopicUpdated", lambda data: data["topic"]["topicName"] == "old news")
        assert (seen["groupID"], seen["topic"]["muteAllMembers"]) == (town.id, True)
        await town.topics.mute(news, "alice", 600)
        await alice.told("onTopicUpdated", lambda data: data["topic"]["selfInfo"]["muteTime"] > 0)
        async with server.client("alice") as own:
            muting = EventRecorder(own, ConversationChanged)
            await alice.call("setMessageRemindType", {"groupID": news, "messageRemindType": "AcceptNotNotify"})
            assert (await muting.wait_for_event(ConversationChanged)).muted
            assert await msg_flag(alice, town.id, news) == "AcceptNotNotify"
            await own.group(news).set_muted(False)
            await own.c2c("alice").send("after it")
        await alice.received(1, where="C2Calice")
        assert await msg_flag(alice, town.id, news) == "AcceptAndNotify"
        await town.topics.delete(news)
        assert await alice.told("onTopicDeleted") == {"groupID": town.id, "topicIDList": [news]}
        assert [
            c for c in await alice.do("conversations") if c["type"] == "GROUP"
        ] == []  # topics are in the list of the Community


async def test_messages_of_topics_pass_both_ways(server: RunningServer, alice: WebClient) -> None:
    bob = server.client("bob")
    heard = EventRecorder(bob, MessageRecalled, ReactionsChanged, ReadReceipt)
    async with bob:
        town = await bob.groups.create("Community", name="town", members=["alice", "carol"], topics=True)
        news, sport = await town.topics.create("news"), await town.topics.create("sport")
        await alice.call("getTopicList", {"groupID": town.id, "topicIDList": [news]})
        first = await bob.group(news).send("good news", request_receipt=True)
        await alice.until(lambda: "good news" in texts(alice))
        shown = texts(alice)["good news"]
        facts = (shown["conversationID"], shown["to"], shown["from"], shown["sequence"], shown["conversationType"])
        assert facts == (f"GROUP{news}", news, "bob", first.seq, "GROUP")
        await alice.told("onTopicUpdated", lambda data: data["topic"]["topicID"] == news and data["topic"]["unreadCount"] == 1)
        sent = await alice.send("text", news, {"text": "I heard"}, group=True)
        await heard.wait_for_message(lambda m: m.text == "I heard")
        assert (bob.group(news).unread, bob.group(sport).unread) == (1, 0)
        mention = {"to": news, "conversationType": "GROUP", "payload": {"text": "@bob, you too?", "atUserList": ["bob"]}}
        await made(alice, "createTextAtMessage", mention)
        await heard.wait_for_message(lambda m: m.mentions == ("bob",))
        assert (bob.group(news).unread, bob.group(news).mentioned) == (2, 1)
        await alice.call("sendMessageReadReceipt", [the(shown["ID"])])
        receipt = await heard.wait_for_event(ReadReceipt)
        assert (receipt.conversation.peer, receipt.seq, receipt.readers) == (news, first.seq, 1)
        await alice.do("read", conversationID=f"GROUP{news}")
        async with server.client("alice") as own:
            assert own.group(news).unread == 0
        page = await alice.do("messages", conversationID=f"GROUP{news}")
        assert [m["payload"]["text"] for m in page["messages"]] == ["good news", "I heard", "@bob, you too?"]
        await alice.call("addMessageReaction", the(shown["ID"]), "ok")
        reaction = await heard.wait_for_event(ReactionsChanged)
        assert (reaction.message.key and reaction.message.key.peer, reaction.message.seq) == (news, first.seq)
        await town.topics.pins(news).add(first.seq)
        pinned = await alice.told("onPinnedGroupMessageUpdated")
        assert (pinned["groupID"], pinned["message"]["ID"], pinned["isPinned"]) == (news, shown["ID"], True)
        listed = (await alice.call("getPinnedGroupMessageList", news))["messageList"]
        assert [m["payload"]["text"] for m in listed] == ["good news"]
        await alice.do("revoke", conversationID=f"GROUP{news}", ID=sent["ID"])
        assert (await heard.wait_for_event(MessageRecalled)).message.seq == sent["sequence"]
        await first.edit("bad news")
        edited = await alice.told("onMessageModified", lambda data: data[0]["payload"]["text"] == "bad news")
        assert edited[0]["conversationID"] == f"GROUP{news}"
        await first.recall()
        gone = await alice.told("onMessageRevoked", lambda data: data[0]["sequence"] == first.seq)
        assert (gone[0]["conversationID"], gone[0]["revoker"]) == (f"GROUP{news}", "bob")

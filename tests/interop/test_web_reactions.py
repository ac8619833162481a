"""Tests of reactions and extensions of messages between Tencent's web client and a timim client, in both directions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.interop.webclient import WebClient, WebError, the, web_client
from timim import ExtensionsChanged, Message, NoPermission, ReactionsChanged
from timim.testing import EventRecorder, RunningServer, running_server

pytestmark = pytest.mark.judge
UPDATED = "onMessageReactionsUpdated"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RunningServer]:
    async with running_server(data_dir=tmp_path / "server") as running:
        await running.add_users("bob")
        yield running


@pytest.fixture
async def alice(server: RunningServer) -> AsyncIterator[WebClient]:
    async with web_client(server, "alice") as web:
        await web.login()
        yield web


def users_of(reaction: str, message_id: str) -> Callable[[Any], list[str]]:
    """Return a function that reads the users of a reaction to a message from the data of an event."""

    def users(data: Any) -> list[str]:
        shown = data["reactionList"] if data["messageID"] == message_id else []
        return [user["userID"] for one in shown if one["reactionID"] == reaction for user in one["partialUserList"]]

    return users


@pytest.mark.parametrize("kind", ["c2c", "group"])
async def test_reactions_pass_both_ways(server: RunningServer, alice: WebClient, kind: str) -> None:
    bob = server.client("bob")
    heard = EventRecorder(bob, ReactionsChanged)
    async with bob, web_client(server, "alice") as other:
        await other.login()
        conversation = bob.c2c("alice")
        if kind == "group":
            conversation = (await bob.groups.create("Public", name="team", members=["alice"])).conversation
        where = "C2Cbob" if kind == "c2c" else f"GROUP{conversation.key.peer}"
        sent = await conversation.send("what do you think?")
        (received,) = [m for m in await alice.received(1, where=where) if m["type"] == "TIMTextElem"]
        message = the(received["ID"])
        thumbs, smile = users_of("👍", received["ID"]), users_of("smile", received["ID"])

        await alice.call("addMessageReaction", message, "👍")
        event = await heard.wait_for_event(ReactionsChanged)
        assert (event.message.msg_id, event.user, event.reaction, event.removed) == (sent.msg_id, "alice", "👍", False)
        assert dict(sent.reactions) == {"👍": ("alice",)}
        await alice.told(UPDATED, lambda data: thumbs(data) == ["alice"])
        await other.told(UPDATED, lambda data: thumbs(data) == ["alice"] and data["reactionList"][0]["reactedByMyself"])

        await sent.react("👍")
        await sent.react("smile")
        await alice.told(UPDATED, lambda data: thumbs(data) == ["alice", "bob"])
        await alice.told(UPDATED, lambda data: smile(data) == ["bob"])
        reply = await alice.call("getMessageReactions", {"messageList": [message], "maxUserCountPerReaction": 1})
        (shown,) = reply["resultList"]
        facts = {one["reactionID"]: (one["totalUserCount"], one["reactedByMyself"]) for one in shown["reactionList"]}
        assert facts == {"👍": (2, True), "smile": (1, False)}
        query = {"message": message, "reactionID": "👍", "count": 1}
        page = await alice.call("getAllUserListOfMessageReaction", query)
        users = [user["userID"] for user in page["userList"]]
        if kind == "group":
            assert (page["nextSeq"], page["isCompleted"]) == (1, False)
            page = await alice.call("getAllUserListOfMessageReaction", query | {"nextSeq": page["nextSeq"]})
            users += [user["userID"] for user in page["userList"]]
        assert (users, page["isCompleted"]) == (["alice", "bob"], True)

        await alice.call("removeMessageReaction", message, "👍")
        gone = await heard.wait_for_event(ReactionsChanged, lambda e: e.removed)
        assert (gone.user, dict(sent.reactions)) == ("alice", {"👍": ("bob",), "smile": ("bob",)})
        await sent.unreact("smile")
        await alice.told(
            UPDATED, lambda data: [(one["reactionID"], one["totalUserCount"]) for one in data["reactionList"]] == [("smile", 0)]
        )
    assert not [e for e in alice.events if e["event"] in ("unhandledRejection", "error")]


@pytest.mark.parametrize("kind", ["c2c", "group"])
async def test_extensions_pass_both_ways(server: RunningServer, alice: WebClient, kind: str) -> None:
    bob = server.client("bob")
    heard = EventRecorder(bob, ExtensionsChanged)
    async with bob, web_client(server, "alice") as other:
        await other.login()
        conversation = bob.c2c("alice")
        if kind == "group":
            conversation = (await bob.groups.create("Public", name="team", members=["alice"])).conversation
        where = "C2Cbob" if kind == "c2c" else f"GROUP{conversation.key.peer}"
        vote = Message("lunch?")
        vote.allow_extensions()
        sent = await conversation.send(vote)
        (received,) = [m for m in await alice.received(1, where=where) if m["type"] == "TIMTextElem"]
        message = the(received["ID"])
        await other.until(lambda: any(e["event"] == "onMessageReceived" and "lunch?" in str(e["data"]) for e in other.events))

        reply = await alice.call(
            "setMessageExtensions", message, [{"key": "one", "value": "soup"}, {"key": "two", "value": "吃"}]
        )
        assert [(one["key"], one["value"], one["code"]) for one in reply["extensions"]] == [
            ("one", "soup", 0),
            ("two", "吃", 0),
        ]
        event = await heard.wait_for_event(ExtensionsChanged)
        assert (event.conversation, event.seq, event.user) == (conversation.key, sent.seq, "alice")
        assert dict(event.values) == {"one": "soup", "two": "吃"}
        await other.told("onMessageExtensionsUpdated", lambda data: data["messageID"] == received["ID"])
        await sent.extensions.set({"two": "rice"})
        shown = await alice.told("onMessageExtensionsUpdated", lambda data: data["messageID"] == received["ID"])
        assert shown["extensions"] == [{"key": "two", "value": "rice"}]

        found = (await alice.call("getMessageExtensions", message))["extensions"]
        assert {one["key"]: one["value"] for one in found} == {"one": "soup", "two": "rice"}
        conflict = await other.call("setMessageExtensions", message, [{"key": "one", "value": "noodles"}])
        assert [one["code"] for one in conflict["extensions"]] == [0]  # it has heard of the first value
        await alice.told("onMessageExtensionsUpdated", lambda data: {"key": "one", "value": "noodles"} in data["extensions"])
        await alice.call("deleteMessageExtensions", message, ["one"])
        gone = await heard.wait_for_event(ExtensionsChanged, lambda e: bool(e.deleted))
        assert (gone.user, gone.deleted) == ("alice", ("one",))
        await sent.extensions.delete(["two"])
        await alice.told("onMessageExtensionsDeleted", lambda data: data["keyList"] == ["two"])
        await sent.extensions.set({"three": "tea"})
        await alice.call("deleteMessageExtensions", message)
        assert (await heard.wait_for_event(ExtensionsChanged, lambda e: e.cleared)).user == "alice"
        assert (await alice.call("getMessageExtensions", message))["extensions"] == []
        assert await sent.extensions.get() == {}
    assert not [e for e in alice.events if e["event"] in ("unhandledRejection", "error")]


async def test_extensions_of_a_message_from_the_web_are_set_by_timim(server: RunningServer, alice: WebClient) -> None:
    bob = server.client("bob")
    heard = EventRecorder(bob)
    async with bob:
        options = {"to": "bob", "conversationType": "C2C", "payload": {"text": "vote"}, "isSupportExtension": True}
        sent = await alice.do("sendMade", kind="text", options=options)
        received = await heard.wait_for_message(lambda m: m.text == "vote")
        assert received.extensible
        await received.extensions.set({"yes": "1"})
        await alice.told("onMessageExtensionsUpdated", lambda data: data["messageID"] == sent["ID"])
        plain = await alice.send("text", "bob", {"text": "no vote"})
        with pytest.raises(WebError):
            await alice.call("setMessageExtensions", the(plain["ID"]), [{"key": "a", "value": "b"}])
        unsupported = await heard.wait_for_message(lambda m: m.text == "no vote")
        with pytest.raises(NoPermission):
            await unsupported.extensions.set({"a": "b"})

"""Tests of deletions for one user alone, between Tencent's web client and timim's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.interop.test_web_conversations import until_shown
from tests.interop.webclient import WebClient, the, web_client
from timim import ConversationDeleted, ConversationType, HistoryCleared, MessagesDeleted
from timim.testing import EventRecorder, RunningServer, running_server

pytestmark = pytest.mark.judge
BOB = "C2Cbob"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RunningServer]:
    async with running_server(data_dir=tmp_path / "server") as running:
        await running.add_users("alice", "bob", "carol")
        yield running


@pytest.fixture
async def alice(server: RunningServer) -> AsyncIterator[WebClient]:
    async with web_client(server, "alice") as web:
        await web.login()
        yield web


async def listed(web: WebClient, conversation: str) -> list[str]:
    """Return the texts that a new web client of the user pages from the history."""
    shown = await web.do("messages", conversationID=conversation)
    return [one["payload"]["text"] for one in shown["messages"] if "text" in one["payload"]]


async def test_a_cleared_history_is_gone_on_both_sides(server: RunningServer, alice: WebClient) -> None:
    own = server.client("alice")
    heard = EventRecorder(own, HistoryCleared)
    async with own, server.client("bob") as bob:
        group = await bob.groups.create("Public", name="team", members=["alice"])
        team = f"GROUP{group.id}"
        await bob.c2c("alice").send("one")
        await group.conversation.send("two")
        await until_shown(alice, lambda c: c["lastMessage"]["messageForShow"] == "one")
        await until_shown(alice, lambda c: c["lastMessage"]["messageForShow"].endswith("two"), conversation=team)
        await alice.call("clearHistoryMessage", BOB)
        await heard.wait_for_event(HistoryCleared, lambda e: e == HistoryCleared(own.c2c("bob").key, 1))
        assert [m.text async for m in own.c2c("bob").history()] == []
        assert [m.text async for m in bob.c2c("alice").history()] == ["one"]
        await own.conversations.clear_history(own.group(group.id))
        await bob.c2c("alice").send("three")
        await group.conversation.send("four")
        async with web_client(server, "alice") as again:
            await again.login()
            assert await listed(again, BOB) == ["three"]
            assert await listed(again, team) == ["four"]
        await own.conversations.clear_history(own.c2c("bob"))
        async with web_client(server, "alice") as again:
            await again.login()
            assert await listed(again, BOB) == []


async def test_a_deleted_conversation_leaves_the_list_of_both_sides(server: RunningServer, alice: WebClient) -> None:
    own = server.client("alice")
    heard = EventRecorder(own, ConversationDeleted, HistoryCleared)
    async with own, server.client("bob") as bob, server.client("carol") as carol:
        await bob.c2c("alice").send("one")
        await carol.c2c("alice").send("two")
        for conversation in (BOB, "C2Ccarol"):
            await until_shown(alice, lambda c: bool(c["lastMessage"]["messageForShow"]), conversation=conversation)
        kept = {"conversationIDList": [BOB], "clearHistoryMessage": False}
        assert (await alice.call("deleteConversation", kept))["conversationIDList"] == [BOB]
        await heard.wait_for_event(ConversationDeleted, lambda e: e == ConversationDeleted(own.c2c("bob").key))
        assert [one.peer for one in own.conversations] == ["carol"]
        assert [m.text async for m in own.c2c("bob").history()] == ["one"]
        assert (await alice.call("deleteConversation", "C2Ccarol"))["conversationID"] == "C2Ccarol"
        await heard.wait_for_event(HistoryCleared, lambda e: e == HistoryCleared(own.c2c("carol").key, 1))
        assert [m.text async for m in own.c2c("carol").history()] == []
        await bob.c2c("alice").send("three")
        await until_shown(alice, lambda c: c["lastMessage"]["messageForShow"] == "three")
        async with web_client(server, "alice") as again:
            await again.login()
            await until_shown(again, lambda c: c["lastMessage"]["messageForShow"] == "three")
            assert [one["conversationID"] for one in await again.do("conversations")] == [BOB]
            assert await listed(again, BOB) == ["one", "three"]
            assert await own.delete_conversation(ConversationType.C2C, "bob", everywhere=True)
            await again.told("onConversationListUpdated", lambda shown: shown == [])


async def test_deleted_messages_are_gone_on_both_sides(server: RunningServer, alice: WebClient) -> None:
    own = server.client("alice")
    heard = EventRecorder(own, MessagesDeleted)
    async with own, server.client("bob") as bob:
        group = await bob.groups.create("Public", name="team", members=["alice"])
        team = f"GROUP{group.id}"
        for text in ("one", "two", "three"):
            await bob.c2c("alice").send(text)
        sent = await group.conversation.send("four")
        shown = (await alice.received(3, where=BOB))[1]
        await alice.call("deleteMessage", [the(shown["ID"])])
        await heard.wait_for_event(MessagesDeleted, lambda e: e == MessagesDeleted(own.c2c("bob").key, (2,)))
        (shown,) = [m for m in await alice.received(1, where=team) if m["payload"].get("text") == "four"]
        await alice.call("deleteMessage", [the(shown["ID"])])
        await heard.wait_for_event(MessagesDeleted, lambda e: e == MessagesDeleted(own.group(group.id).key, (sent.seq,)))
        assert [m.text async for m in own.c2c("bob").history()] == ["three", "one"]
        assert "four" not in [m.text async for m in own.group(group.id).history()]
        last = own.c2c("bob").last_message
        assert last is not None
        assert await last.remove(everywhere=True)
        async with web_client(server, "alice") as again:
            await again.login()
            await until_shown(again, lambda c: c["lastMessage"]["messageForShow"] == "one")
            assert await listed(again, BOB) == ["one"]
            assert await listed(again, team) == []
            found = await again.call("searchCloudMessages", {"keywordList": ["two", "four"], "keywordListMatchType": "or"})
            assert found["totalCount"] == 0
        assert [m.text async for m in bob.c2c("alice").history()] == ["three", "two", "one"]

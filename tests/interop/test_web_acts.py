"""Tests of recalls, edits, read state, pins and mutes between Tencent's web client and a timim client, in both directions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.interop.webclient import WebClient, web_client
from timim import ConversationChanged, MessageEdited, MessageRecalled, ReadReceipt
from timim.testing import EventRecorder, RunningServer, running_server

pytestmark = pytest.mark.judge


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RunningServer]:
    async with running_server(data_dir=tmp_path / "server") as running:
        yield running


@pytest.fixture
async def alice(server: RunningServer) -> AsyncIterator[WebClient]:
    await server.add_users("bob")
    async with web_client(server, "alice") as web:
        await web.login()
        yield web


async def told(web: WebClient, event: str, text: str) -> None:
    """Wait until the web client reports an event of this name that contains this text."""
    await web.until(lambda: any(e["event"] == event and text in str(e["data"]) for e in web.events))


@pytest.mark.requirement("P06")
async def test_a_recall_and_an_edit_by_timim_are_shown_on_the_web(server: RunningServer, alice: WebClient) -> None:
    async with server.client("bob") as bob:
        group = await bob.groups.create("Public", name="team", members=["alice"])
        for conversation in (bob.c2c("alice"), group.conversation):
            where = "C2Cbob" if conversation is bob.c2c("alice") else f"GROUP{group.id}"
            gone, better = await conversation.send("gone"), await conversation.send("good")
            await alice.received(2, where=where)
            await gone.recall()
            await told(alice, "onMessageRevoked", gone.msg_id.rpartition("-")[0])
            await better.edit("better")
            await better.react("👍")
            await told(alice, "onMessageModified", better.msg_id.rpartition("-")[0])
            await conversation.send(f"end of {where}")  # different texts, so that the two conversations are not confused
            await told(alice, "onMessageReceived", f"end of {where}")
            page = await alice.do("messages", conversationID=where)
            shown = [
                (m["payload"].get("text"), m["isRevoked"])
                for m in page["messages"]
                if m["payload"] and m["type"] == "TIMTextElem"
            ]
            assert shown[-2:] == [("better", False), (f"end of {where}", False)]
        async with web_client(server, "alice") as fresh:
            await fresh.login()
            for where in ("C2Cbob", f"GROUP{group.id}"):
                page = await fresh.do("messages", conversationID=where)
                # the web client leaves recalled messages out of a page, because they have no content
                assert "gone" not in str(page)
                assert [m["payload"]["text"] for m in page["messages"][-2:]] == ["better", f"end of {where}"]
            assert not [e for e in fresh.events if e["event"] in ("unhandledRejection", "error")]
    assert not [e for e in alice.events if e["event"] in ("unhandledRejection", "error")]


def ending(shown: dict[str, Any]) -> Callable[[MessageEdited | MessageRecalled], bool]:
    """Return a predicate that is true for events about this message of the web client."""
    return lambda event: bool(shown["ID"].endswith(event.message.msg_id))


@pytest.mark.requirement("P06")
async def test_a_recall_and_an_edit_by_the_web_client_reach_timim(server: RunningServer, alice: WebClient) -> None:
    bob = server.client("bob")
    watch = EventRecorder(bob, MessageRecalled, MessageEdited)
    async with bob:
        group = await bob.groups.create("Public", name="team", members=["alice"])
        for to, where in (("bob", "C2Cbob"), (group.id, f"GROUP{group.id}")):
            is_group = to == group.id
            gone = await alice.send("text", to, {"text": "gone"}, group=is_group)
            good = await alice.send("text", to, {"text": "good"}, group=is_group)
            await alice.do("edit", conversationID=where, ID=good["ID"], text="better")
            edited = await watch.wait_for_event(MessageEdited, ending(good))
            assert (edited.message.text, edited.operator) == ("better", "alice")
            await alice.do("revoke", conversationID=where, ID=gone["ID"])
            recalled = await watch.wait_for_event(MessageRecalled, ending(gone))
            assert recalled.operator == "alice"


@pytest.mark.requirement("P06")
async def test_read_state_and_pins_are_the_same_on_both_sides(server: RunningServer, alice: WebClient) -> None:
    bob = server.client("bob")
    watch = EventRecorder(bob, ReadReceipt)
    own = server.client("alice")
    at_own = EventRecorder(own, ConversationChanged)
    async with bob, own:
        mine = await bob.c2c("alice").send("read this")
        await alice.received(1)
        await alice.do("read", conversationID="C2Cbob")
        assert (await watch.wait_for_event(ReadReceipt)).seq == mine.seq
        sent = await alice.send("text", "bob", {"text": "and this"})
        await watch.wait_for_message(lambda m: m.text == "and this")
        await bob.c2c("alice").mark_read()
        await told(alice, "onMessageReadByPeer", sent["ID"])
        await alice.do("pin", conversationID="C2Cbob", isPinned=True)
        assert (await at_own.wait_for_event(ConversationChanged)).pinned
        await own.c2c("bob").set_pinned(False)
        await alice.until(lambda: pinned(alice) == {"C2Cbob": False})
        await own.c2c("bob").set_pinned(True)
        await alice.until(lambda: pinned(alice) == {"C2Cbob": True})
        await alice.do("mute", userIDList=["bob"], messageRemindType="AcceptNotNotify")
        await at_own.wait_for_event(ConversationChanged, lambda e: e.muted)


def pinned(web: WebClient) -> dict[str, bool]:
    """Return the conversations with their pinned state, as the client last listed them."""
    shown: dict[str, bool] = {}
    for event in web.events:
        if event["event"] == "onConversationListUpdated":
            shown = {c["conversationID"]: c["isPinned"] for c in event["data"]}
    return shown

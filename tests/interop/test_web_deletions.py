"""Tests of deletions for one user alone, between Tencent's web client and timim's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.interop.test_web_conversations import until_shown
from tests.interop.webclient import WebClient, web_client
from timim import HistoryCleared
from timim.testing import EventRecorder, RunningServer, running_server

pytestmark = pytest.mark.judge
BOB = "C2Cbob"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RunningServer]:
    async with running_server(data_dir=tmp_path / "server") as running:
        await running.add_users("alice", "bob")
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

"""Tests of a user's own view of conversations, between Tencent's web client and timim's: labels, and do not disturb."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.interop.webclient import WebClient, web_client
from timim import ConversationGroupsChanged, ConversationMark, DoNotDisturb, DoNotDisturbChanged, Labels, LabelsChanged
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
    async with server.client("bob") as bob, web_client(server, "alice") as web:
        await bob.c2c("alice").send("hello")
        await web.login()
        await web.call("getMessageList", {"conversationID": BOB})
        yield web


async def until_shown(web: WebClient, holds: Callable[[dict[str, Any]], bool], *, conversation: str = BOB) -> None:
    """Wait until the newest conversation list that the web client has reported has a conversation that matches."""

    def newest() -> dict[str, Any] | None:
        lists = [e["data"] for e in web.events if e["event"] == "onConversationListUpdated"]
        return next((one for one in lists[-1] if one["conversationID"] == conversation), None) if lists else None

    await web.until(lambda: (found := newest()) is not None and holds(found))


async def test_marks_and_custom_data_pass_both_ways(server: RunningServer, alice: WebClient) -> None:
    own = server.client("alice")
    heard = EventRecorder(own, LabelsChanged)
    async with own:
        key = own.c2c("bob").key
        done = await alice.call("markConversation", {"conversationIDList": [BOB], "markType": 1, "enableMark": True})
        assert done["successConversationIDList"] == [BOB]
        await alice.call("setConversationCustomData", {"conversationIDList": [BOB], "customData": "blue"})
        wanted = LabelsChanged(key, frozenset({ConversationMark.STAR}), "blue", frozenset())
        await heard.wait_for_event(LabelsChanged, lambda e: e == wanted)
        await own.conversations.labels.mark([own.c2c("bob")], ConversationMark.FOLD)
        await own.conversations.labels.set_custom_data([own.c2c("bob")], "red")
        await until_shown(alice, lambda c: (c["markList"], c["customData"]) == ([1, 4], "red"))
        await alice.call("markConversation", {"conversationIDList": [BOB], "markType": 4, "enableMark": False})
        assert await own.conversations.labels.all() == {key: Labels(frozenset({0}), "red", frozenset())}
    async with web_client(server, "alice") as again:
        await again.login()
        await until_shown(again, lambda c: (c["markList"], c["customData"]) == ([1], "red"))


async def test_conversation_groups_pass_both_ways(server: RunningServer, alice: WebClient) -> None:
    own = server.client("alice")
    heard = EventRecorder(own, ConversationGroupsChanged)
    async with own:
        labels, bob = own.conversations.labels, own.c2c("bob")
        await alice.call("createConversationGroup", {"groupName": "work", "conversationIDList": [BOB]})
        await alice.call("createConversationGroup", {"groupName": "other", "conversationIDList": [BOB]})
        await alice.call("renameConversationGroup", {"oldName": "work", "newName": "office"})
        await heard.wait_for_event(ConversationGroupsChanged, lambda e: e.groups == ("office", "other"))
        await alice.call("deleteConversationsFromGroup", {"groupName": "office", "conversationIDList": [BOB]})
        assert await labels.all() == {bob.key: Labels(groups=frozenset({"other"}))}
        done = await alice.call("addConversationsToGroup", {"groupName": "office", "conversationIDList": [BOB]})
        assert done["successConversationIDList"] == [BOB]
        await alice.call("deleteConversationGroup", "other")
        await heard.wait_for_event(ConversationGroupsChanged, lambda e: e.groups == ("office",))
        assert await labels.all() == {bob.key: Labels(groups=frozenset({"office"}))}
        await labels.create_group("home", [bob])
        await alice.told("onConversationGroupListUpdated", lambda groups: "home" in groups)
        await until_shown(alice, lambda c: sorted(c["conversationGroupList"]) == ["home", "office"])
        await labels.remove_from_group("office", [bob])
        await until_shown(alice, lambda c: c["conversationGroupList"] == ["home"])
        await labels.add_to_group("office", [bob])
        await until_shown(alice, lambda c: sorted(c["conversationGroupList"]) == ["home", "office"])
        await labels.rename_group("home", "family")
        await until_shown(alice, lambda c: sorted(c["conversationGroupList"]) == ["family", "office"])
        await labels.delete_group("office")
        await until_shown(alice, lambda c: c["conversationGroupList"] == ["family"])
        assert await alice.call("getConversationGroupList") == ["family"]
    async with web_client(server, "alice") as again:
        await again.login()
        await until_shown(again, lambda c: c["conversationGroupList"] == ["family"])


async def test_do_not_disturb_passes_both_ways(server: RunningServer, alice: WebClient) -> None:
    own = server.client("alice")
    heard = EventRecorder(own, DoNotDisturbChanged)
    async with own:
        quiet, loud = "AcceptNotNotify", "AcceptAndNotify"
        asked = {"messageRemindType": quiet, "startHour": 22, "startMinute": 30, "duration": 8 * 3600}
        await alice.call("setAllReceiveMessageOpt", asked)
        changed = await heard.wait_for_event(DoNotDisturbChanged)
        assert changed.quiet is not None
        assert (changed.quiet.end - changed.quiet.start, changed.quiet.daily) == (8 * 3600, True)
        shown = await alice.call("getAllReceiveMessageOpt")
        assert DoNotDisturb(shown["startTime"], shown["endTime"], shown["isRepeated"]) == changed.quiet
        assert shown["messageRemindType"] == quiet
        await own.profile.set_do_not_disturb(DoNotDisturb(100, 200, daily=False))
        now = {"messageRemindType": quiet, "startTime": 100, "endTime": 200, "isRepeated": False}
        assert await alice.told("onAllReceiveMessageOptUpdated", lambda data: data["startTime"] == 100) == now
        await alice.call("setAllReceiveMessageOpt", {"messageRemindType": loud})
        await heard.wait_for_event(DoNotDisturbChanged, lambda e: e.quiet is None)
        assert (await alice.call("getAllReceiveMessageOpt"))["messageRemindType"] == loud

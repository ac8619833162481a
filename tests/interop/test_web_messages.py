"""Tests of messages that the web client makes, forwards, merges, reads and finds, seen by a timim client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.webclient import WebClient, WebError, the, web_client
from timim import CustomElem, MergerElem, ReadReceipt, merge_messages
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


async def made(web: WebClient, method: str, where: dict[str, Any]) -> dict[str, Any]:
    """Make a message by this method, send it, and return it as the client shows it afterwards."""
    message = await web.call(method, where)
    shown: dict[str, Any] = (await web.call("sendMessage", the(message["ID"])))["message"]
    return shown


async def test_messages_are_forwarded_and_merged_on_the_web(server: RunningServer, alice: WebClient) -> None:
    bob = server.client("bob")
    heard = EventRecorder(bob)
    async with bob:
        to = {"to": "bob", "conversationType": "C2C"}
        first = await made(alice, "createTextMessage", to | {"payload": {"text": "first"}})
        second = await made(alice, "createTextMessage", to | {"payload": {"text": "second"}})
        assert (await alice.call("findMessage", first["ID"]))["payload"] == {"text": "first"}
        await made(alice, "createForwardMessage", to | {"payload": the(first["ID"])})
        await heard.wait_for_messages(3)
        assert [m.text for m in heard.messages] == ["first", "second", "first"]
        merged = {"messageList": [the(first["ID"]), the(second["ID"])], "title": "talk", "abstractList": ["a", "b"]}
        await made(alice, "createMergerMessage", to | {"payload": merged | {"compatibleText": "too old"}})
        merger = (await heard.wait_for_message(lambda m: isinstance(m[0], MergerElem)))[0]
        assert isinstance(merger, MergerElem)
        assert (merger.title, tuple(merger.abstracts)) == ("talk", ("a", "b"))
        where = {"conversationID": "C2Cbob", "time": first["time"], "direction": 1}
        newer = await alice.call("getMessageListHopping", where | {"count": 2})
        assert [m["payload"]["text"] for m in newer["messageList"]] == ["first", "second"]
        newer = await alice.call("getMessageListHopping", where | {"count": 2})  # goes on behind the last one
        assert [m["type"] for m in newer["messageList"]] == ["TIMTextElem", "TIMRelayElem"]
        page = await alice.call("getMessageListHopping", {"conversationID": "C2Cbob", "time": second["time"] + 1, "count": 15})
        assert [m["payload"]["text"] for m in page["messageList"] if m["type"] == "TIMTextElem"] == ["first", "second", "first"]


async def test_large_mergers_are_stored_on_the_server_and_loaded_by_their_key(server: RunningServer, alice: WebClient) -> None:
    bob = server.client("bob")
    heard = EventRecorder(bob)
    async with bob:
        to = {"to": "bob", "conversationType": "C2C"}
        texts = [f"{number} " + "长" * 3000 for number in range(2)]
        parts = [await made(alice, "createTextMessage", to | {"payload": {"text": text}}) for text in texts]
        merged = {"messageList": [the(part["ID"]) for part in parts], "title": "long", "abstractList": ["a"]}
        large = await made(alice, "createMergerMessage", to | {"payload": merged | {"compatibleText": "too old"}})
        outer = {"messageList": [the(large["ID"]), the(parts[0]["ID"]), the(parts[1]["ID"])], "title": "outer"}
        await made(alice, "createMergerMessage", to | {"payload": outer | {"abstractList": [], "compatibleText": "-"}})
        elem = (await heard.wait_for_message(lambda m: isinstance(m[0], MergerElem) and m[0].title == "long"))[0]
        assert isinstance(elem, MergerElem)
        assert [m.text for m in await elem.messages()] == texts
        assert [m.sender for m in await elem.messages()] == ["alice", "alice"]
        elem = (await heard.wait_for_message(lambda m: isinstance(m[0], MergerElem) and m[0].title == "outer"))[0]
        assert isinstance(elem, MergerElem)
        assert (elem.count, elem.layers) == (3, 2)
        inner = (await elem.messages())[0].elems[0]
        assert isinstance(inner, MergerElem)
        assert [m.text for m in await inner.messages()] == texts
        mine = [m for m in heard.messages if m.text]
        await bob.c2c("alice").send(merge_messages(mine, title="back"))
        (received,) = await alice.told("onMessageReceived", lambda data: "back" in str(data))
        key = received["payload"]["downloadKey"]
        shown = (await alice.call("downloadMergerMessage", the(received["ID"])))["payload"]["messageList"]
        assert [one["messageBody"][0]["payload"]["text"] for one in shown] == texts
        assert [one["from"] for one in shown] == ["alice", "alice"]
        by_key = {"type": "TIMRelayElem", "payload": {"downloadKey": key}}
        assert (await alice.call("downloadMergerMessage", by_key))["payload"]["messageList"]
        async with web_client(server, "carol") as carol:
            await carol.login()
            with pytest.raises(WebError):
                await carol.call("downloadMergerMessage", by_key)


async def test_mentions_and_receipts_pass_both_ways(server: RunningServer, alice: WebClient) -> None:
    bob = server.client("bob")
    heard = EventRecorder(bob, ReadReceipt)
    async with bob:
        group = await bob.groups.create("Public", name="team", members=["alice", "carol"])
        await alice.told("onGroupListUpdated", lambda groups: len(groups) == 1)
        to = {"to": group.id, "conversationType": "GROUP"}
        asked = {"payload": {"text": "@bob read this", "atUserList": ["bob"]}, "needReadReceipt": True}
        shown = await made(alice, "createTextAtMessage", to | asked)
        message = await heard.wait_for_message(lambda m: m.text == "@bob read this")
        assert (message.mentions, message.receipt_requested) == (("bob",), True)
        await group.conversation.mark_read()
        (read,) = await alice.told("onMessageReadReceiptReceived")
        assert (read["groupID"], read["messageID"]) == (group.id, shown["ID"])
        assert (read["readCount"], read["unreadCount"]) == (1, 1)
        await alice.call("getMessageReadReceiptList", [the(shown["ID"])])
        query = {"message": the(shown["ID"]), "filter": 0, "cursor": "", "count": 10}
        assert (await alice.call("getGroupMessageReadMemberList", query))["readUserIDList"] == ["bob"]
        query["filter"] = 1
        assert (await alice.call("getGroupMessageReadMemberList", query))["unreadUserIDList"] == ["carol"]
        await group.set_name_card("the chief")
        mine = await group.conversation.send("and you this", request_receipt=True, mention=["alice"])
        received = await alice.told("onMessageReceived", lambda data: "and you this" in str(data))
        assert (received[0]["atUserList"], received[0]["nameCard"]) == (["alice"], "the chief")
        await alice.call("sendMessageReadReceipt", [the(received[0]["ID"])])
        receipt = await heard.wait_for_event(ReadReceipt)
        assert (receipt.seq, receipt.readers, receipt.others) == (mine.seq, 1, 1)


async def test_receipts_of_single_c2c_messages_pass_both_ways(server: RunningServer, alice: WebClient) -> None:
    bob = server.client("bob")
    heard = EventRecorder(bob, ReadReceipt)
    async with bob:
        to = {"to": "bob", "conversationType": "C2C", "needReadReceipt": True}
        first, second = [await made(alice, "createTextMessage", to | {"payload": {"text": text}}) for text in ("one", "two")]
        assert first["readReceiptInfo"]["isPeerRead"] is False
        received = await heard.wait_for_message(lambda m: m.text == "one")
        assert received.receipt_requested
        await bob.c2c("alice").mark_read(received)
        (read,) = await alice.told("onMessageReadReceiptReceived")
        assert (read["userID"], read["messageID"], read["isPeerRead"]) == ("bob", first["ID"], True)
        assert abs(read["timestamp"] - first["time"]) < 60
        shown = await alice.call("getMessageReadReceiptList", [the(first["ID"]), the(second["ID"])])
        assert [m["readReceiptInfo"]["isPeerRead"] for m in shown["messageList"]] == [True, False]
        mine = [await bob.c2c("alice").send(text, request_receipt=n > 0) for n, text in enumerate(("a", "b", "c"))]
        arrived = await alice.received(3, where="C2Cbob")
        assert [m["needReadReceipt"] for m in arrived] == [False, True, True]
        await alice.call("sendMessageReadReceipt", [the(arrived[2]["ID"])])
        assert await heard.wait_for_event(ReadReceipt) == ReadReceipt(bob.c2c("alice").key, mine[2].seq)
        assert [(m.read_receipt_count, m.read_by_peer) for m in mine] == [(0, False), (0, False), (1, True)]
        profile = (await alice.call("getConversationProfile", "C2Cbob"))["conversation"]
        assert (bob.c2c("alice").peer_read_seq, profile["unreadCount"]) == (0, 3)
        with pytest.raises(WebError):
            await alice.call("sendMessageReadReceipt", [the(arrived[0]["ID"])])  # which requests none
    async with web_client(server, "alice") as again:  # which was offline, as far as it knows
        await again.login()
        history = (await again.call("getMessageList", {"conversationID": "C2Cbob"}))["messageList"]
        own = {m["payload"]["text"]: m["readReceiptInfo"] for m in history if m["from"] == "alice"}
        assert (own["one"]["isPeerRead"], own["two"]["isPeerRead"]) == (True, False)
        assert own["one"]["timestamp"] == read["timestamp"]


async def test_all_conversations_are_marked_as_read_on_the_web(server: RunningServer, alice: WebClient) -> None:
    bob = server.client("bob")
    heard = EventRecorder(bob, ReadReceipt)
    async with bob, server.client("carol") as carol:
        group = await bob.groups.create("Public", name="team", members=["alice"])
        await bob.c2c("alice").send("one")
        await carol.c2c("alice").send("two")
        await group.conversation.send("three")
        await alice.received(1, where="C2Cbob")
        await alice.received(1, where="C2Ccarol")
        await alice.told("onMessageReceived", lambda data: "three" in str(data))
        await alice.told("onTotalUnreadMessageCountUpdated", lambda count: count >= 3)  # after the messages themselves
        assert await alice.call("getTotalUnreadMessageCount") >= 3
        await alice.call("setAllMessageRead", {"scope": "readAllMessage"})
        assert (await heard.wait_for_event(ReadReceipt)).user == "alice"
        assert await alice.call("getTotalUnreadMessageCount") == 0
    async with server.client("alice") as own:
        assert [one.unread for one in (own.c2c("bob"), own.c2c("carol"), own.group(group.id))] == [0, 0, 0]


async def test_the_state_of_a_login_and_of_conversations_is_shown_on_the_web(server: RunningServer, alice: WebClient) -> None:
    async with server.client("bob") as bob:
        await bob.profile.set(nickname="Bob")
        await bob.c2c("alice").send("hello")
        await alice.received(1, where="C2Cbob")
        assert await alice.call("getLoginUser") == "alice"
        assert await alice.call("isReady") is True
        assert await alice.call("getServerTime") > 1_700_000_000
        await alice.do("setProfile", nick="Alice")
        assert (await alice.call("getMyProfile"))["nick"] == "Alice"
        await alice.call("setConversationDraft", {"conversationID": "C2Cbob", "draftText": "I think"})
        shown = (await alice.call("getConversationProfile", "C2Cbob"))["conversation"]
        assert (shown["draftText"], shown["userProfile"]["nick"]) == ("I think", "Bob")
        assert await alice.call("getConversationGroupList") == []
        assert await alice.call("getJoinedCommunityList") == {"groupList": []}
        await alice.call("logout")
        assert await alice.call("isReady") is False
        await alice.login()
        await alice.call("destroy")


async def test_invitations_pass_between_web_clients_and_reach_timim(server: RunningServer, alice: WebClient) -> None:
    watching = server.client("bob")
    seen = EventRecorder(watching)
    async with watching, web_client(server, "bob") as bob:
        await bob.login()
        for web in (alice, bob):
            await web.do("signals")
        first = (await alice.call("invite", {"userID": "bob", "data": "call me", "timeout": 30}))["inviteID"]
        invited = await bob.told("newInvitationReceived", lambda data: data["inviteID"] == first)
        assert (invited["inviter"], invited["data"]) == ("alice", "call me")
        message = await seen.wait_for_message(lambda m: isinstance(m[0], CustomElem))
        assert message.sender == "alice"
        await alice.call("modifyInvitation", {"inviteID": first, "data": "call me now"})
        await bob.told("ts_invitation_modified", lambda data: data["data"] == "call me now")
        await bob.call("accept", {"inviteID": first, "data": "yes"})
        accepted = await alice.told("ts_invitee_accepted")
        assert (accepted["inviteID"], accepted["invitee"], accepted["data"]) == (first, "bob", "yes")
        asked: dict[str, Any] = {"userID": "alice", "data": "and now?", "timeout": 30}
        second = (await bob.do("inviteSync", options=asked))["inviteID"]
        await alice.told("newInvitationReceived", lambda data: data["inviteID"] == second)
        await alice.call("reject", {"inviteID": second, "data": "no"})
        assert (await bob.told("ts_invitee_rejected"))["inviteID"] == second
        group = await watching.groups.create("Public", name="team", members=["alice"])
        await alice.told("onGroupListUpdated", lambda groups: len(groups) == 1)
        asked = {"groupID": group.id, "inviteeList": ["bob"], "data": "all of you", "timeout": 30}
        third = (await alice.call("inviteInGroup", asked))["inviteID"]
        shown = await bob.told("newInvitationReceived", lambda data: data["inviteID"] == third)
        assert shown["groupID"] == group.id
        await alice.call("cancel", {"inviteID": third, "data": "never mind"})
        fourth = (await alice.do("inviteInGroupSync", options=asked))["inviteID"]
        await bob.told("newInvitationReceived", lambda data: data["inviteID"] == fourth)
        assert (await bob.told("ts_invitation_cancelled"))["inviteID"] == third
        received = next(
            m for e in bob.events if e["event"] == "onMessageReceived" for m in e["data"] if m["type"] == "TIMCustomElem"
        )
        assert (await bob.call("getSignalingInfo", the(received["ID"])))["inviter"] == "alice"
        await bob.do("noSignals")


async def test_a_refused_message_is_sent_again_on_the_web(server: RunningServer, alice: WebClient) -> None:
    bob = server.client("bob")
    heard = EventRecorder(bob)
    async with bob:
        await bob.friends.block("alice")
        to = {"to": "bob", "conversationType": "C2C", "payload": {"text": "let me in"}}
        message = await alice.call("createTextMessage", to)
        with pytest.raises(WebError) as refused:
            await alice.call("sendMessage", the(message["ID"]))
        assert refused.value.code == 20007
        await bob.friends.unblock("alice")
        await alice.call("resendMessage", the(message["ID"]))
        await heard.wait_for_message(lambda m: m.text == "let me in")


async def test_a_listener_hears_until_it_is_removed_on_the_web(server: RunningServer, alice: WebClient) -> None:
    async with server.client("bob") as bob:
        await alice.do("off", event="onMessageReceived")
        await bob.c2c("alice").send("unheard")
        await alice.told("onConversationListUpdated", lambda data: "unheard" in str(data))
        await alice.do("on", event="onMessageReceived")
        await bob.c2c("alice").send("heard")
        assert [m["payload"]["text"] for m in await alice.received(1)] == ["heard"]

"""Tests of guests: the web client joins a live room without a login, and reads its messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.interop.webclient import WAIT_S, WebClient, WebError, web_client
from timim.testing import RunningServer, running_server

pytestmark = pytest.mark.judge


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RunningServer]:
    async with running_server(data_dir=tmp_path / "server", live_room_guests=2) as running:
        yield running


def texts(web: WebClient, room_id: str) -> list[str]:
    """Return the texts that a web client has received in a room."""
    received = [message for event in web.events if event["event"] == "onMessageReceived" for message in event["data"]]
    here = [message for message in received if message["conversationID"] == f"GROUP{room_id}"]
    return [message["payload"]["text"] for message in here if message["type"] == "TIMTextElem"]


async def test_a_guest_reads_live_rooms_and_sees_recalls(server: RunningServer) -> None:
    async with server.client("alice") as alice, web_client(server, "") as guest:
        room = await alice.groups.create("AVChatRoom", name="show")
        other = await alice.groups.create("AVChatRoom", name="other")
        await room.conversation.send("before the guest")
        for one in (room, other):
            assert (await guest.call("joinGroup", {"groupID": one.id}))["status"] == "JoinedSuccess"
        sent = [await room.conversation.send(f"number {number}") for number in range(3)]
        await other.conversation.send("elsewhere")
        await guest.until(lambda: len(texts(guest, room.id)) == 3 and texts(guest, other.id) == ["elsewhere"])
        assert texts(guest, room.id) == ["number 0", "number 1", "number 2"]
        (message,) = [
            m for e in guest.events if e["event"] == "onMessageReceived" for m in e["data"] if m["sequence"] == sent[1].seq
        ]
        assert message["from"] == "alice"
        await sent[1].recall()
        await guest.told("onMessageRevoked", lambda data: [one["sequence"] for one in data] == [sent[1].seq])
        assert [member.user_id for member in await room.members()] == ["alice"]  # a guest is no member
        await guest.call("quitGroup", room.id)
        assert not [e for e in guest.events if e["event"] in ("unhandledRejection", "error")]


async def test_guests_are_refused_where_they_have_no_place(server: RunningServer) -> None:
    async with server.client("alice") as alice, web_client(server, "") as guest:
        team = await alice.groups.create("Public", name="team")
        for unknown in (team.id, "nobody's"):
            with pytest.raises(WebError) as refused:
                await guest.call("joinGroup", {"groupID": unknown})
            assert refused.value.code == 10010
        async with asyncio.timeout(WAIT_S), running_server() as closed, web_client(closed, "") as stranger:
            with pytest.raises(WebError) as refused:
                await stranger.call("joinGroup", {"groupID": "any"})
            assert refused.value.code == 6014


async def test_a_guest_logs_in_and_joins_as_a_member(server: RunningServer) -> None:
    async with server.client("alice") as alice, web_client(server, "bob") as bob:
        room = await alice.groups.create("AVChatRoom", name="show")
        await bob.call("joinGroup", {"groupID": room.id})
        await room.conversation.send("to the guest")
        await bob.until(lambda: texts(bob, room.id) == ["to the guest"])
        await bob.call("quitGroup", room.id)
        await bob.login()
        assert (await bob.call("joinGroup", {"groupID": room.id}))["status"] == "JoinedSuccess"
        await room.conversation.send("to the member")
        await bob.until(lambda: "to the member" in texts(bob, room.id))
        assert [member.user_id for member in await room.members()] == ["alice", "bob"]

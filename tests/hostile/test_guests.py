"""Tests of guests of live rooms: connections without a login get messages of live rooms, within bounds, and nothing else."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.support.gateways import next_gateway
from tests.support.rest import RestClient, text
from timim import Client, Group
from timim.protocol.frames import Head, decode_frames, encode_frame
from timim.protocol.live_rooms import JOIN_AS_GUEST, READ_AS_GUEST
from timim.server.endpoints import guests, websocket
from timim.testing import LocalServer, RunningServer, local_server, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")


class GuestPeer:
    """A connection that does not log in."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._replies: dict[int, dict[str, Any]] = {}
        self._count = 0

    async def send(self, command: str, body: dict[str, Any]) -> int:
        """Send a request, and return its number."""
        self._count += 1
        await self._socket.send(encode_frame(Head(command, seq=self._count), json.dumps(body).encode()))
        return self._count

    async def reply(self, number: int) -> dict[str, Any]:
        """Return the reply to a request."""
        while number not in self._replies:
            message = await self._socket.recv()
            assert isinstance(message, bytes)
            self._replies |= {frame.head.seq: json.loads(bytes(frame.body)) for frame in decode_frames(message)}
        return self._replies[number]

    async def join(self, room_id: str) -> dict[str, Any]:
        return await self.reply(await self.send(JOIN_AS_GUEST.name, {"GroupId": room_id, "WebPushFlag": 1}))

    async def read(self, key: str, start: int = 0, *, hold_s: int = 0) -> dict[str, Any]:
        return await self.reply(await self.send(READ_AS_GUEST.name, {"Key": key, "StartSeq": start, "HoldTime": hold_s}))

    async def closed(self) -> str | None:
        """Wait until the server closes the connection, and return its reason."""
        with pytest.raises(ConnectionClosed):
            await self._socket.recv()
        return self.reason

    @property
    def reason(self) -> str | None:
        """The reason with which the server closed the connection."""
        return self._socket.close_reason


@asynccontextmanager
async def guest_at(server: RunningServer | LocalServer) -> AsyncIterator[GuestPeer]:
    async with connect(next_gateway(server)) as socket:
        yield GuestPeer(socket)


def texts(reply: dict[str, Any]) -> list[str]:
    return [message["MsgBody"][0]["MsgContent"]["Text"] for message in reply["RspMsgList"]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[RunningServer]:
    async with running_server(live_room_guests=2) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def alice(server: RunningServer) -> AsyncIterator[Client]:
    async with server.client("alice") as client:
        yield client


async def live_room(alice: Client) -> Group:
    return await alice.groups.create("AVChatRoom", name="show")


async def test_a_guest_gets_new_messages_of_users_to_all_members_alone(server: RunningServer, alice: Client) -> None:
    room = await live_room(alice)
    await room.conversation.send("earlier")
    async with guest_at(server) as guest, RestClient(server) as rest, server.client("bob") as bob:
        key = (await guest.join(room.id))["LongPollingKey"]
        assert await bob.groups.join(room.id)
        secret = {"GroupId": room.id, "Random": 1, "MsgBody": text("secret"), "To_Account": ["bob"]}
        refused = await rest.call("group_open_http_svc/send_group_msg", secret)
        assert refused["ErrorCode"] == 10004  # a live room has no messages to some members
        await room.conversation.send("now")
        reply = await guest.read(key, hold_s=10)
        assert texts(reply) == ["now"]
        empty = await guest.read(reply["Key"], reply["NextSeq"])
        assert (empty["RspMsgList"], empty["NextSeq"]) == ([], reply["NextSeq"])
    async with guest_at(server) as other:  # the key is good for any connection, at any node
        assert texts(await other.read(key, hold_s=10)) == ["now"]


async def test_a_guest_gets_the_newest_entries_in_pages(server: RunningServer, alice: Client) -> None:
    room = await live_room(alice)
    for number in range(guests.WINDOW + 5):
        await room.conversation.send(f"{number:03} " + "x" * 600)
    async with guest_at(server) as guest:
        found: list[str] = []
        seq, pages = 1, 0
        while len(found) < guests.WINDOW:
            reply = await guest.read(f"1:{room.id}", seq, hold_s=10)
            assert len(json.dumps(reply)) < 2 * guests.PAGE_LIMIT_BYTES
            found += texts(reply)
            seq, pages = reply["NextSeq"], pages + 1
        assert [one[:3] for one in found] == [f"{number:03}" for number in range(5, guests.WINDOW + 5)]
        assert pages > 1


async def test_a_guest_learns_nothing_of_other_groups_and_conversations(server: RunningServer, alice: Client) -> None:
    team = await alice.groups.create("Public", name="team")
    await team.conversation.send("internal")
    async with guest_at(server) as guest:
        for group_id in (team.id, "nobody's", "c2c\x1falice\x1fbob", "", "x" * 5000):
            assert (await guest.join(group_id))["ErrorCode"] == 10010
            assert (await guest.read(f"1:{group_id}", 1))["ErrorCode"] == 10010
        for key in ("", ":", f"-1:{team.id}", "9" * 30 + f":{team.id}", team.id, "²:x", "1"):
            assert (await guest.read(key, 1))["ErrorCode"] != 0
        for command in ("openim.sendmsg", "group_open_http_svc.get_group_info", "group_open_http_svc.send_group_msg"):
            reply = await guest.reply(await guest.send(command, {"GroupId": team.id, "GroupIdList": [team.id]}))
            assert reply["ErrorCode"] == 6014


async def test_a_guest_has_one_waiting_request_in_a_room_and_few_rooms(server: RunningServer, alice: Client) -> None:
    rooms = [await live_room(alice) for _ in range(guests.ROOMS_LIMIT + 1)]
    async with guest_at(server) as guest:
        keys = [(await guest.join(room.id))["LongPollingKey"] for room in rooms]
        waiting = [await guest.send(READ_AS_GUEST.name, {"Key": key, "HoldTime": 90}) for key in keys[:-1]]
        assert (await guest.read(keys[0], hold_s=90))["ErrorCode"] == 60007
        assert (await guest.read(keys[-1], hold_s=90))["ErrorCode"] == 10014
        for room, number in zip(rooms, waiting, strict=False):
            await room.conversation.send("to all")
            assert texts(await guest.reply(number)) == ["to all"]
        assert (await guest.read(keys[-1]))["ErrorCode"] == 0


async def test_a_guest_that_asks_too_often_is_cut(server: RunningServer, alice: Client) -> None:
    room = await live_room(alice)
    async with guest_at(server) as guest:
        key = (await guest.join(room.id))["LongPollingKey"]

        async def ask_for_ever() -> None:
            while True:
                await guest.read(key)

        with pytest.raises(ConnectionClosed):
            await ask_for_ever()
        assert guest.reason == "more requests than the server accepts from a guest"


async def test_a_node_has_a_limited_number_of_guests() -> None:
    async with local_server(live_room_guests=1) as server, server.client("alice") as alice:
        room = await live_room(alice)
        async with guest_at(server) as other:
            async with guest_at(server) as guest:
                key = (await guest.join(room.id))["LongPollingKey"]
                assert (await other.join(room.id))["ErrorCode"] == 10014
                assert (await other.read(key))["ErrorCode"] == 10014
            while (await other.join(room.id))["ErrorCode"]:
                pass  # the server has not read the end of the other connection yet


async def test_a_guest_that_falls_silent_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "IDLE_LIMIT_S", 0.3)
    async with local_server(live_room_guests=1, login_timeout_s=60) as server, server.client("alice") as alice:
        room = await live_room(alice)
        async with guest_at(server) as guest:
            assert (await guest.join(room.id))["ErrorCode"] == 0
            assert await guest.closed() == "a guest has sent nothing for 0.3 s"


async def test_a_waiting_guest_learns_that_the_room_was_dissolved(server: RunningServer, alice: Client) -> None:
    room = await live_room(alice)
    async with guest_at(server) as guest:
        key = (await guest.join(room.id))["LongPollingKey"]
        waiting = await guest.send(READ_AS_GUEST.name, {"Key": key, "HoldTime": 90})
        await room.dissolve()
        assert (await guest.reply(waiting))["ErrorCode"] == 10010


async def test_guests_are_refused_by_default() -> None:
    async with local_server() as server, server.client("alice") as alice, guest_at(server) as guest:
        room = await live_room(alice)
        assert (await guest.join(room.id))["ErrorCode"] == 6014
        assert (await guest.read(f"1:{room.id}", 1))["ErrorCode"] == 6014

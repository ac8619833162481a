"""Tests of hostile clients: history is for participants only (R13), and the server requests no address of a user (R16)."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from websockets.asyncio.client import ClientConnection, connect

import timim
import timim.server.app
from tests.support.paths import MUTANTS
from timim import FileElem, MediaError, SoundElem, VideoElem
from timim.protocol import session
from timim.protocol.codec import decode
from timim.protocol.frames import Head, decode_frames, encode_frame
from timim.protocol.messages import ROAM_C2C, ROAM_GROUP
from timim.server.bus.base import Event
from timim.server.handlers import ALL_HANDLERS
from timim.server.sessions.fanout import Fanout
from timim.server.social.entity_cache import EntityCache
from timim.server.store.base import Member, StoredGroup
from timim.testing import EventRecorder, LocalServer, RunningServer, local_server, running_server

# R13: history

WAIT_S = 20.0
OLD, NEW = b"said while all were there", b"said after one had left"


@dataclass(frozen=True)
class Place:
    server: RunningServer | LocalServer
    group: str
    tokens: Mapping[str, str]


@asynccontextmanager
async def a_place() -> AsyncIterator[Place]:
    async with running_server() as server, a_place_on(server) as place:
        yield place


@asynccontextmanager
async def a_place_on(server: RunningServer | LocalServer) -> AsyncIterator[Place]:
    async with (
        server.client("alice") as alice,
        server.client("bob") as bob,
        server.client("gone") as gone,
        server.client("stranger") as stranger,
    ):
        group = await alice.groups.create("Public", name="team", members=["bob", "gone"])
        for to in (group.conversation, alice.c2c("bob")):
            await to.send(OLD.decode())
        await group.kick("gone")
        for to in (group.conversation, alice.c2c("bob")):
            await to.send(NEW.decode())
        tokens = {who.user_id: who.engine.connection.server_info.token for who in (alice, bob, gone, stranger)}
        yield Place(server, group.id, tokens)


def value_for(name: str, place: Place) -> object:
    """Return a value that an attacker would try for each required or sensitive field."""
    people: dict[str, object] = {
        "GroupId": place.group,
        "GroupIdList": [place.group],
        "Peer_Account": "alice",
        "MaxCnt": 100,
        "ReqMsgNumber": 100,
        "TimelineRange": [1, 1000],
        "MsgReadedSeq": 1,
        "TimelineReadSeq": 1,
        "Count": 100,
        "TimelineMessages": 20,
        "C2CMsgReaded": {"C2CMsgReadedItem": [{"To_Account": "alice", "LastedMsgTime": 1}]},
    }
    return people.get(name)


def body_for(name: str, place: Place) -> bytes:
    """Return a body for this command, with alice's conversations in its fields."""
    command, _ = ALL_HANDLERS.served[name]
    given = {field.encode_name: value_for(field.encode_name, place) for field in msgspec.structs.fields(command.body)}
    return json.dumps({key: value for key, value in given.items() if value is not None}).encode()


async def ask(socket: ClientConnection, name: str, body: bytes, **head: Any) -> bytes:
    await socket.send(encode_frame(Head(name, seq=1, **head), body))
    while True:
        message = await socket.recv()
        raw = message.encode() if isinstance(message, str) else message
        if decode_frames(raw)[0].head.servcmd == name:
            return raw


async def enter(socket: ClientConnection, **head: Any) -> int:
    reply = await ask(socket, session.LOGIN.name, b"{}", **head)
    return int(json.loads(bytes(decode_frames(reply)[0].body))["ErrorCode"])


def readers() -> list[str]:
    """Return the names of all commands, so that none is left out."""
    return sorted(ALL_HANDLERS.served)


async def check_readers(place: Place, who: str) -> None:
    """Check that a stranger or former member gets no message by any command or push."""
    received = b""
    async with connect(place.server.url) as socket:
        assert await enter(socket, a2=place.tokens[who]) == 0
        for name in readers():
            received = await ask(socket, name, body_for(name, place))
            assert NEW not in received, name
            if who == "stranger":
                assert OLD not in received, name
        async with place.server.client("alice") as alice, asyncio.timeout(WAIT_S):
            for to in (alice.group(place.group), alice.c2c("bob")):
                await to.send(NEW.decode())
            await alice.c2c(who).send("the last push")
            while b"the last push" not in received:
                message = await socket.recv()
                received = message.encode() if isinstance(message, str) else message
                assert NEW not in received
        reply = await ask(socket, ROAM_GROUP.name, body_for(ROAM_GROUP.name, place))
        assert json.loads(bytes(decode_frames(reply)[0].body))["ErrorCode"] == 10007


@pytest.mark.parametrize("who", ["stranger", "gone"])
@pytest.mark.requirement("R13", "H7")
async def test_no_command_or_push_reveals_messages_to_a_stranger_or_former_member(who: str) -> None:
    async with a_place() as place:
        await check_readers(place, who)


def shows_groups_to_all(patch: pytest.MonkeyPatch) -> None:
    async def group_for(self: EntityCache, user: str, group_id: str) -> StoredGroup:
        group = await self.group(group_id)
        return replace(group, members={user: Member("Member", joined=1), **group.members})

    patch.setattr(EntityCache, "group_for", group_for)


def pushes_to_all(patch: pytest.MonkeyPatch) -> None:
    receive = Fanout.receive

    def receive_for_all(self: Fanout, event: Event) -> None:
        receive(self, msgspec.structs.replace(event, users=tuple(session.user for session in self.all())))

    patch.setattr(Fanout, "receive", receive_for_all)


@pytest.mark.parametrize("mutant", [shows_groups_to_all, pushes_to_all])
@pytest.mark.requirement("H7")
async def test_a_server_that_reveals_messages_is_detected(
    mutant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with local_server() as server, a_place_on(server) as place:
        mutant(monkeypatch)
        with pytest.raises(AssertionError):
            await check_readers(place, "gone")


@pytest.mark.requirement("R13")
async def test_participants_are_answered_by_the_same_requests() -> None:
    """Test that a participant gets the messages by the same requests, so that the refusals are not due to invalid requests."""
    async with a_place() as place, connect(place.server.url) as socket:
        assert await enter(socket, a2=place.tokens["bob"]) == 0
        telling = {name for name in readers() if NEW in await ask(socket, name, body_for(name, place))}
        assert {ROAM_C2C.name, ROAM_GROUP.name} <= telling


def _signed(place: Place, user: str = "bob", *, key: str = "", age_s: float = 0) -> str:
    app_id = place.server.app_id
    return timim.sign_user(app_id, key or place.server.secret_key, user, expire_s=60, now=time.time() - age_s)


def _altered(text: str) -> str:
    middle = len(text) // 2
    return text[:middle] + ("A" if text[middle] != "A" else "B") + text[middle + 1 :]


LOGINS: dict[str, Callable[[Place], dict[str, str]]] = {
    "nobody": lambda _: {},
    "an expired signature": lambda p: {"identifier": "bob", "usersig": _signed(p, age_s=3600)},
    "an altered signature": lambda p: {"identifier": "bob", "usersig": _altered(_signed(p))},
    "another user's signature": lambda p: {"identifier": "bob", "usersig": _signed(p, "stranger")},
    "another key": lambda p: {"identifier": "bob", "usersig": _signed(p, key="a key of one's own")},
    "an altered token": lambda p: {"a2": _altered(p.tokens["bob"])},
    "a token of another name": lambda p: {"a2": p.tokens["stranger"].replace(b"stranger".hex(), b"bob".hex())},
}


@pytest.mark.parametrize("how", LOGINS)
@pytest.mark.requirement("R13")
async def test_no_command_serves_a_request_in_the_name_of_another(how: str) -> None:
    async with a_place() as place:
        if how != "nobody":
            async with connect(place.server.url) as socket:
                assert await enter(socket, **LOGINS[how](place)) in (70001, 70002, 70003, 70005, 70009, 70013, 70014)
        async with connect(place.server.url) as socket:  # credentials in the head of another command are not a login
            for name in readers():
                reply = await ask(socket, name, body_for(name, place), **LOGINS[how](place))
                assert json.loads(bytes(decode_frames(reply)[0].body))["ErrorCode"] == 6014, name
                assert NEW not in reply
                assert OLD not in reply


@pytest.mark.requirement("R13")
async def test_the_attack_requests_are_valid_history_requests() -> None:
    place = Place(RunningServer(Path(), {}), "@TGS#x", {})
    for command in (ROAM_C2C, ROAM_GROUP):
        decode(command.body, body_for(command.name, place))


# R16: addresses


@asynccontextmanager
async def a_listener() -> AsyncIterator[tuple[int, list[bytes]]]:
    """Run a web server on loopback that redirects to a link-local address, and record its requests."""
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(b"")
        with suppress(OSError):
            asked[-1] = await reader.readline()
            writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
        writer.close()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with listener:
        yield listener.sockets[0].getsockname()[1], asked


def elems_naming(url: str) -> list[dict[str, Any]]:
    """Return one elem of each kind that can contain an address, with this address in each."""
    sizes = [{"Type": kind, "Size": 5, "Width": 9, "Height": 9, "URL": url} for kind in (1, 2, 3)]
    return [
        {"MsgType": "TIMTextElem", "MsgContent": {"Text": f"look: {url}"}},
        {"MsgType": "TIMCustomElem", "MsgContent": {"Data": url, "Desc": url, "Ext": url, "Sound": url}},
        {"MsgType": "TIMLocationElem", "MsgContent": {"Desc": url, "Latitude": 1.0, "Longitude": 1.0}},
        {"MsgType": "TIMFaceElem", "MsgContent": {"Index": 1, "Data": url}},
        {"MsgType": "TIMSoundElem", "MsgContent": {"UUID": "s", "Url": url, "Size": 5, "Second": 1, "Download_Flag": 2}},
        {"MsgType": "TIMImageElem", "MsgContent": {"UUID": "i", "ImageFormat": 1, "ImageInfoArray": sizes}},
        {"MsgType": "TIMFileElem", "MsgContent": {"UUID": "f", "Url": url, "FileSize": 5, "FileName": url}},
        {"MsgType": "TIMVideoFileElem", "MsgContent": {"VideoUUID": "v", "VideoUrl": url, "VideoSize": 5, "ThumbUrl": url}},
        {"MsgType": "TIMNoveltyElem", "MsgContent": {"Url": url}},
    ]


async def _asked_by(program: tuple[str, ...]) -> tuple[int, set[int]]:
    """Send messages with addresses, and return the number of requests to them and the ports that the server connected to."""
    async with a_listener() as (port, asked), running_server() as server:
        if program:
            server.program = program
            await server.restart()
        urls = [
            f"http://127.0.0.1:{port}/a",
            f"http://localhost:{port}/b",
            "http://169.254.169.254/latest/meta-data",
            "file:///etc/passwd",
        ]
        own = int(server.url.rpartition(":")[2])
        abroad: set[int] = set()
        async with server.client("alice") as alice, server.client("bob") as bob:
            watch = EventRecorder(bob)
            await alice.profile.set(face_url=urls[0])
            group = await alice.groups.create("Public", name="team", members=["bob"])
            await group.set_info(face_url=urls[0])
            async with connect(server.url) as socket:
                assert await enter(socket, a2=alice.engine.connection.server_info.token) == 0
                taken = 0
                for number, named in enumerate(named for url in urls for named in elems_naming(url)):
                    body = {"To_Account": "bob", "MsgRandom": number + 1, "MsgClientTime": 1_700_000_000, "MsgBody": [named]}
                    reply = await ask(socket, "openim.sendmsg", json.dumps(body).encode())
                    code = json.loads(bytes(decode_frames(reply)[0].body))["ErrorCode"]
                    assert code in (0, 90010), named  # content without an upload may be refused
                    taken += code == 0
            await watch.wait_for_messages(taken)
            for message in watch.messages:
                for elem in message:
                    if isinstance(elem, SoundElem | FileElem | VideoElem):
                        with pytest.raises(MediaError):
                            await elem.read()
            abroad |= {
                link.raddr.port
                for link in psutil.Process(server.pid).net_connections("inet")
                if link.status == psutil.CONN_ESTABLISHED and link.laddr.port != own
            }
        return len(asked), abroad


@pytest.mark.requirement("R16", "H18")
async def test_the_server_fetches_no_address_of_a_user() -> None:
    assert await _asked_by(()) == (0, set())


@pytest.mark.requirement("R16", "H18")
async def test_a_server_that_fetches_addresses_is_detected() -> None:
    asked, _ = await _asked_by((str(MUTANTS / "fetches_urls.py"),))
    assert asked > 0

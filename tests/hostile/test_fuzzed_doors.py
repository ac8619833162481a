"""No request through a door is an internal error, and no bytes end the server: the websocket, the REST API, and frames.

`make fuzz` sends a million requests to the handlers (`test_numbers.py`), 500,000 through the websocket, 60,000 through REST,
and 100,000 broken frames. `make soak` sends to each door for some minutes, and prints how many.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close

from tests.support import request_fields as requests
from tests.support.rest import RestClient
from timim import ProtocolError, sign_user
from timim.protocol import codec, frames, session
from timim.protocol.codec import Reply, decode
from timim.protocol.frames import Frame, Head, decode_frames, encode_frame
from timim.server.endpoints import websocket
from timim.server.handlers import ALL_HANDLERS, registry, rest_bodies
from timim.testing import LocalServer, RunningServer, local_server

INTERNAL = 60002
SOAK_S = 150.0
EXAMPLES = settings().max_examples // 10 if settings().max_examples > 1000 else 4  # 2,000 with the profile `fuzz`
WEBSOCKET_REQUESTS, REST_REQUESTS, BROKEN_FRAMES = 250, 30, 50  # of one example
fuzzed = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
Server = RunningServer | LocalServer


async def new_group(rest: RestClient) -> str:
    """Return a new group with a message in it, because a request may dissolve the last one."""
    members = [{"Member_Account": requests.MEMBER}]
    body = {"Type": "Public", "Name": "g", "Owner_Account": requests.SELF, "MemberList": members}
    group_id = str((await rest.done("group_open_http_svc/create_group", body))["GroupId"])
    sent = {"GroupId": group_id, "From_Account": requests.SELF, "Random": 1, "MsgBody": requests.TEXT}
    await rest.done("group_open_http_svc/send_group_msg", sent)
    return group_id


async def log_in(server: Server, socket: ClientConnection) -> None:
    signed = sign_user(server.app_id, server.secret_key, requests.SELF)
    await socket.send(encode_frame(Head(session.LOGIN.name, seq=1, identifier=requests.SELF, usersig=signed), b"{}"))
    assert decode(Reply, frames_of(await socket.recv())[0].body).error_code == 0


def frames_of(message: str | bytes) -> list[Frame]:
    return decode_frames(message.encode() if isinstance(message, str) else message)


def is_whole(data: bytes, number: int) -> bool:
    """Return True if bytes are one frame with this number."""
    try:
        return [frame.head.seq for frame in decode_frames(data)] == [number]
    except ProtocolError:
        return False


async def check_websocket(server: Server, random: Random) -> None:
    """Check that each request, sent without waiting, has one reply, which is no internal error."""
    async with RestClient(server) as rest:
        group_id = await new_group(rest)
    asked: dict[int, tuple[str, bytes]] = {}
    while len(asked) < WEBSOCKET_REQUESTS:
        number = len(asked) + 2
        command, body = requests.random_request(random, group_id)
        if is_whole(data := encode_frame(Head(command, seq=number), body), number):
            asked[number] = command, data
    failed: list[tuple[str, bytes]] = []
    async with connect(server.url, max_size=None) as socket:
        await log_in(server, socket)

        async def send() -> None:
            for _, data in asked.values():
                await socket.send(data)

        sending = asyncio.create_task(send())
        missing = set(asked)
        while missing:
            for frame in frames_of(await socket.recv()):
                if frame.head.seq in missing and frame.head.servcmd == asked[frame.head.seq][0]:
                    missing.remove(frame.head.seq)
                    if decode(Reply, frame.body).error_code == INTERNAL:
                        failed.append(asked[frame.head.seq])
        await sending
    assert failed == []


async def check_rest(server: Server, random: Random) -> None:
    """Check that no request of an administrator is answered by an internal error."""
    served = {command.name for command in ALL_HANDLERS.rest_commands()}
    async with RestClient(server) as rest:
        group_id = await new_group(rest)
        asked: list[tuple[str, bytes]] = []
        while len(asked) < REST_REQUESTS:
            command, body = requests.random_request(random, group_id)
            if command in served:
                asked.append((command, body))
        replies = await asyncio.gather(*(rest.call(command.replace(".", "/"), body) for command, body in asked))
    assert [one for one, reply in zip(asked, replies, strict=True) if reply["ErrorCode"] == INTERNAL] == []


async def check_frames(server: Server, random: Random) -> None:
    """Check that a broken frame is answered, or closes its websocket with 1002 and a reason."""
    closed: list[tuple[bytes, Close | None]] = []
    for _ in range(BROKEN_FRAMES):
        command, body = requests.random_request(random, "@TGS#1")
        data = bytearray(encode_frame(Head(command, seq=2), body))
        for _ in range(random.randint(1, 4)):
            data[random.randrange(len(data))] = random.randrange(256)
        async with connect(server.url, max_size=None) as socket:
            if random.random() < 0.5:
                await log_in(server, socket)
            await socket.send(bytes(data[: random.choice([len(data), random.randrange(1, len(data))])]))
            await socket.send(encode_frame(Head(session.HEARTBEAT.name, seq=3), b"{}"))
            try:
                while frames_of(await socket.recv())[-1].head.servcmd != session.HEARTBEAT.name:
                    pass
            except ConnectionClosed as exc:
                closed.append((bytes(data), exc.rcvd))
    assert closed
    assert [data for data, close in closed if close is None or close.code != 1002 or not close.reason] == []


Check = Callable[[Server, Random], Awaitable[None]]
CHECKS: list[Check] = [check_websocket, check_rest, check_frames]


@pytest.mark.requirement("H21", "H19", "R10")
@pytest.mark.parametrize("check", CHECKS)
@fuzzed
@given(seed=st.integers(0, (1 << 64) - 1))
@pytest.mark.asyncio(loop_scope="module")
async def test_no_request_through_a_door_is_an_internal_error(shared_server: RunningServer, check: Check, seed: int) -> None:
    await shared_server.add_users(requests.SELF, requests.PEER, requests.MEMBER)
    await check(shared_server, Random(seed))


@pytest.mark.soak
@pytest.mark.requirement("H21", "H19", "R10")
@pytest.mark.parametrize("check, at_once", list(zip(CHECKS, (WEBSOCKET_REQUESTS, REST_REQUESTS, BROKEN_FRAMES), strict=True)))
@pytest.mark.asyncio(loop_scope="module")
async def test_no_request_of_minutes_is_an_internal_error(
    shared_server: RunningServer, check: Check, at_once: int, seed: int
) -> None:
    await shared_server.add_users(requests.SELF, requests.PEER, requests.MEMBER)
    begun, number = time.monotonic(), 0
    while time.monotonic() < begun + SOAK_S:
        await check(shared_server, Random(seed + number))
        number += 1
    took_s = time.monotonic() - begun
    print(f"{check.__name__}: {number * at_once} requests in {took_s:.0f} s, {number * at_once / took_s:.0f}/s")


def raise_errors_of_the_library(kind: type[msgspec.Struct], raw: bytes | msgspec.Raw) -> Any:
    return codec._decoder(kind).decode(raw)


@pytest.mark.requirement("H21", "H19", "R10")
@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_server_that_raises_errors_of_its_decoder_is_detected(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    async with local_server() as server:
        await server.add_users(requests.SELF, requests.PEER, requests.MEMBER)
        monkeypatch.setattr(registry, "decode", raise_errors_of_the_library)
        monkeypatch.setattr(rest_bodies, "decode", raise_errors_of_the_library)
        monkeypatch.setattr(websocket, "decode_frames", frames._decoder.decode)
        with pytest.raises((AssertionError, TypeError, ConnectionClosed)):
            await check(server, Random(1))

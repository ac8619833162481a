"""The pause between logins grows while connections die at once, and a client does not flood a server that cuts it."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve

from timim import Client
from timim.protocol.frames import decode_frames
from timim.transport import connection

LOGINS = 9
GROWING = [0.25 * 2**n for n in range(LOGINS - 2)]
LOGIN = {"ActionStatus": "OK", "ErrorCode": 0, "A2Key": "a", "TinyId": "1", "TimelineServer": {"Batch": True}}


class Ceilings(random.Random):
    """Random numbers for the pauses: each pause is 0, and its longest value is recorded."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[float] = []

    def uniform(self, a: float, b: float) -> float:
        self.found.append(b)
        return a


class HostileServer:
    """A server that ends each connection after its login: by bytes that are no frame, or by a cut."""

    def __init__(self, *, garbage: bytes, replies: int) -> None:
        self.url = ""
        self.logins = 0
        self.enough = asyncio.Event()
        self._garbage = garbage
        self._replies = replies

    async def serve_client(self, socket: ServerConnection) -> None:
        left = self._replies
        async for message in socket:
            for frame in decode_frames(message.encode() if isinstance(message, str) else message):
                is_login = frame.head.servcmd.endswith("wslogin")
                if is_login or left > 0:
                    left -= not is_login
                    body = LOGIN if is_login else {"ActionStatus": "OK", "ErrorCode": 0, "CompleteFlag": 1}
                    head = {"servcmd": frame.head.servcmd, "seq": frame.head.seq}
                    await socket.send(json.dumps({"head": head, "body": body}).encode())
                if is_login:
                    self.logins += 1
                    if self.logins == LOGINS:
                        self.enough.set()
            if left <= 0:
                if self._garbage:
                    await socket.send(self._garbage)
                    await socket.wait_closed()
                socket.transport.abort()


@asynccontextmanager
async def hostile_server(*, garbage: bytes = b"", replies: int = 0) -> AsyncIterator[HostileServer]:
    hostile = HostileServer(garbage=garbage, replies=replies)
    async with serve(hostile.serve_client, "127.0.0.1", 0) as listener:
        hostile.url = f"ws://127.0.0.1:{next(iter(listener.sockets)).getsockname()[1]}"
        yield hostile


async def pauses(monkeypatch: pytest.MonkeyPatch, *, garbage: bytes = b"", replies: int = 0) -> list[float]:
    """Return the longest values of the pauses of a client between the logins at a hostile server."""
    ceilings = Ceilings()
    monkeypatch.setattr(connection, "_random", ceilings)
    async with hostile_server(garbage=garbage, replies=replies) as hostile:
        client = Client(hostile.url, app_id=1, user_id="bob", user_sig="s", data_dir=":memory:", timeout=5)
        login = asyncio.create_task(client.login())
        async with asyncio.timeout(20):
            await hostile.enough.wait()
        found = ceilings.found[: LOGINS - 2]
        login.cancel()
        await asyncio.gather(login, return_exceptions=True)
        await client.close()
    return found


@pytest.mark.requirement("H43")
@pytest.mark.parametrize("garbage", [b"\x00\xff", b'{"head":'], ids=["bytes", "half a frame"])
async def test_the_pauses_grow_while_connections_die_by_what_they_send(garbage: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await pauses(monkeypatch, garbage=garbage) == GROWING


@pytest.mark.requirement("H43")
async def test_the_pauses_grow_while_connections_are_cut_without_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await pauses(monkeypatch) == [0.25, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0]


@pytest.mark.requirement("H43")
async def test_the_pauses_grow_after_many_short_connections_that_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "SHORT_LIVES_LIMIT", 4)
    monkeypatch.setattr(connection, "SHORT_LIFE_S", 3600.0)
    assert await pauses(monkeypatch, replies=1) == [0.25, 0.25, 0.25, 0.5, 1.0, 2.0, 4.0]


@pytest.mark.requirement("H43")
async def test_a_connection_that_was_of_use_does_not_lengthen_the_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "SHORT_LIFE_S", 0.0)
    assert set(await pauses(monkeypatch, replies=1)) == {0.25}


@pytest.mark.requirement("H43")
async def test_a_client_that_forgets_its_failures_at_a_login_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mutant: each login ends the outage."""
    always = property(lambda self: True, lambda self, value: None)
    monkeypatch.setattr(connection.Connection, "_was_answered", always, raising=False)
    monkeypatch.setattr(connection, "SHORT_LIFE_S", 0.0)
    assert set(await pauses(monkeypatch)) == {0.25}

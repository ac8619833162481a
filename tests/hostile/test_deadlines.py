"""Tests that silent and dripping peers are cut in time, and that an address cannot open connections without a limit.

Each check also runs on a server that lets its peers do what they want, and has to fail there.
"""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx2
import pytest

from tests.support.hostile_peer import Peer, cut, holds_soon, honest_login, peers
from timim import FileElem
from timim.testing import RunningServer, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")
WITHIN_S = 2.0
PLACES = 3  # of uploads
CONTENT = b"c" * 100_000
LONG_CONTENT = b"t" * 5_000_000  # more than trickles in during a test


@asynccontextmanager
async def bounded(**settings: Any) -> AsyncIterator[RunningServer]:
    limits: dict[str, Any] = {
        "request_head_s": 0.5,
        "login_timeout_s": 0.4,
        "close_s": 0.3,
        "least_rate_s": 0.5,
        "media_receiving": PLACES,
    }
    async with running_server(**{**limits, **settings}) as server:
        yield server


async def drip(peer: Peer, data: bytes, every_s: float = 0.05) -> None:
    """Send one byte after the other until the connection is cut."""
    try:
        for byte in data:
            await peer.send(bytes((byte,)))
            await asyncio.sleep(every_s)
    except ConnectionError:
        pass


async def check_half_open(server: RunningServer) -> bool:
    """Return True if silent and dripping connections are closed in time, and an honest login is quick meanwhile."""
    async with peers(server, 9) as connections:
        drips = [asyncio.create_task(drip(peer, b"GET /healthz HTTP/1.1\r\nX: " + b"a" * 200)) for peer in connections[:3]]
        drips += [asyncio.create_task(drip(connections[3], b"\r\n" * 100))]
        for peer in connections[6:]:
            await peer.upgrade()
        quick = await honest_login(server) < 1
        closed = await asyncio.gather(*(peer.ended(within_s=WITHIN_S) for peer in connections))
        for task in drips:
            task.cancel()
        return quick and all(closed)


@pytest.mark.requirement("H28")
async def test_silent_and_dripping_connections_are_closed_in_time(unbounded: RunningServer) -> None:
    async with bounded() as server:
        assert await check_half_open(server)
    assert not await check_half_open(unbounded)


@pytest.mark.requirement("H28")
async def test_an_idle_connection_after_a_response_is_closed_although_its_body_drips() -> None:
    async with bounded(request_head_s=0.2) as server, peers(server) as (peer,):
        await peer.send(b"GET /healthz HTTP/1.1\r\nContent-Length: 100000\r\n\r\n")
        assert b"200 OK" in await peer.receive()
        dripping = asyncio.create_task(drip(peer, b"a" * 1000))
        assert await peer.ended(within_s=WITHIN_S)
        dripping.cancel()


async def check_dripping_uploads(server: RunningServer) -> bool:
    """Return True if uploads that drip take no place from others for longer than the window of the least rate."""
    async with (
        server.client("mallory") as mallory,
        server.client("alice") as alice,
        httpx2.AsyncClient(trust_env=False) as http,
    ):
        info = mallory.engine.connection.server_info
        headers = {"Authorization": f"Bearer {info.token}"}
        uploads = [uuid.uuid4().hex for _ in range(PLACES)]
        digest = hashlib.sha256(CONTENT).hexdigest()
        for upload in uploads:
            body = {"Upload": upload, "Kind": "file", "Size": len(CONTENT), "Hash": digest}
            assert (await http.post(info.media_url, json=body, headers=headers)).status_code == 200
        async with peers(server, PLACES) as connections:
            drips = list[asyncio.Task[None]]()
            for upload, peer in zip(uploads, connections, strict=True):
                head = f"PUT /media/uploads/{upload}?offset=0 HTTP/1.1\r\nAuthorization: Bearer {info.token}\r\n"
                await peer.send(head.encode() + b"Content-Length: %d\r\n\r\n" % len(CONTENT))
                drips.append(asyncio.create_task(drip(peer, CONTENT)))
            try:
                async with asyncio.timeout(WITHIN_S):
                    await alice.c2c("mallory").send(FileElem(data=CONTENT, filename="f"))
            except TimeoutError:
                return False
            finally:
                for task in drips:
                    task.cancel()
        return True


@pytest.mark.requirement("H17")
async def test_uploads_that_drip_keep_nobody_out() -> None:
    async with bounded(login_timeout_s=5) as server:
        assert await check_dripping_uploads(server)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunningServer, "program", ("-m", "tests.mutants.no_bounds"))
        async with bounded(login_timeout_s=5) as server:
            assert not await check_dripping_uploads(server)


async def trickle(peer: Peer, size: int) -> None:
    """Send bytes at a rate above the least one."""
    try:
        for _ in range(size // 5000):
            await peer.send(b"t" * 5000)
            await asyncio.sleep(0.05)
    except ConnectionError:
        pass


async def check_crowded_uploads(server: RunningServer, tries: int) -> bool:
    """Return True if uploads of many accounts at one address, each fast enough, leave a place for another address."""
    elsewhere = httpx2.AsyncHTTPTransport(local_address="127.0.0.2")
    async with (
        AsyncExitStack() as stack,
        httpx2.AsyncClient(trust_env=False, transport=elsewhere) as http,
    ):
        users = ["alice", *(f"mallory-{number}" for number in range(PLACES))]
        infos = [(await stack.enter_async_context(server.client(user))).engine.connection.server_info for user in users]
        url, tokens = infos[0].media_url, {user: info.token for user, info in zip(users, infos, strict=True)}

        async def begin(user: str, content: bytes) -> tuple[str, dict[str, str]]:
            upload, headers = uuid.uuid4().hex, {"Authorization": f"Bearer {tokens[user]}"}
            digest = hashlib.sha256(content).hexdigest()
            body = {"Upload": upload, "Kind": "file", "Size": len(content), "Hash": digest}
            assert (await http.post(url, json=body, headers=headers)).status_code == 200
            return upload, headers

        uploads = [await begin(f"mallory-{number}", LONG_CONTENT) for number in range(PLACES)]
        connections = await stack.enter_async_context(peers(server, PLACES))  # which must send their heads soon
        crowd = list[asyncio.Task[None]]()
        for peer, (upload, headers) in zip(connections, uploads, strict=True):
            head = f"PUT /media/uploads/{upload}?offset=0 HTTP/1.1\r\nAuthorization: {headers['Authorization']}\r\n"
            await peer.send(head.encode() + b"Content-Length: %d\r\n\r\n" % len(LONG_CONTENT))
            crowd.append(asyncio.create_task(trickle(peer, len(LONG_CONTENT))))
        try:
            for number in range(tries):
                content = b"%d" % number
                upload, headers = await begin("alice", content)
                put = await http.put(f"{url}/uploads/{upload}", params={"offset": "0"}, content=content, headers=headers)
                if put.status_code == 429:
                    return False
                assert put.status_code == 200
                await asyncio.sleep(0.02)
            return True
        finally:
            for task in crowd:
                task.cancel()


@pytest.mark.requirement("H17")
async def test_uploads_of_one_address_leave_places_to_others() -> None:
    settings: dict[str, Any] = {"trusted_proxies": "", "login_timeout_s": 5}
    async with bounded(media_receiving_per_address=PLACES - 1, **settings) as server:
        assert await check_crowded_uploads(server, 20)
    async with bounded(media_receiving_per_address=0, **settings) as server:
        assert not await check_crowded_uploads(server, 500)


async def check_crowd(server: RunningServer) -> bool:
    """Return True if connections over the limit of their address are cut, and their places are free again when others end."""
    async with peers(server, 60) as crowd:
        if not await holds_soon(lambda: cut(crowd) == 40, within_s=1):
            return False
    async with peers(server, 20) as later:
        return not await holds_soon(lambda: cut(later) == 20, within_s=0.3)


@pytest.mark.requirement("H30b")
async def test_an_address_and_a_subnet_have_a_limit_of_connections(unbounded: RunningServer) -> None:
    for limit in ("connections_per_address", "connections_per_subnet"):
        async with bounded(request_head_s=10, trusted_proxies="", **{limit: 20}) as server:
            assert await check_crowd(server)
    assert not await check_crowd(unbounded)

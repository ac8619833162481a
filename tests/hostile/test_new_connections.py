"""Tests of the limits of new connections: their rate, the pause after a violation, and the requests before a login.

Each check also runs on a server that lets its peers do what they want, and has to fail there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.support.hostile_peer import FINAL, PING, UPGRADE, Peer, cut, frame, holds_soon, peers
from timim.protocol import session
from timim.protocol.frames import Head
from timim.server.endpoints.new_connections import FIRST_PAUSE_S
from timim.testing import RunningServer, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")
WITHIN_S = 5
PINGS = frame(FINAL | PING) * 1000  # the limit is 10 s of 20 a second


@asynccontextmanager
async def bounded(**settings: Any) -> AsyncIterator[RunningServer]:
    async with running_server(trusted_proxies="", **settings) as server:
        yield server


async def is_refused(server: RunningServer) -> bool:
    """Return True if a new connection is cut, False if it becomes a websocket."""
    async with peers(server) as (peer,):
        try:
            await peer.send(UPGRADE)
        except ConnectionError:
            return True
        return not await peer.receive()


async def accepted_again(server: RunningServer) -> float:
    """Wait until a new connection is accepted, and return the time then."""
    async with asyncio.timeout(WITHIN_S):
        while await is_refused(server):  # noqa: ASYNC110  the server sets no event
            await asyncio.sleep(0.1)
    return asyncio.get_running_loop().time()


async def check_rate(server: RunningServer, *, within_s: float) -> bool:
    """Return True if the connections of an address over its rate are cut, and a later one is not."""
    async with peers(server, 40) as crowd:
        if not await holds_soon(lambda: cut(crowd) >= 15, within_s=within_s):
            return False
    await accepted_again(server)
    return True


@pytest.mark.requirement("H30b", "R17")
async def test_an_address_has_a_rate_of_new_connections(unbounded: RunningServer) -> None:
    async with bounded(new_connections_per_s=2) as server:
        assert await check_rate(server, within_s=WITHIN_S)
    assert not await check_rate(unbounded, within_s=0.3)


async def check_pause(server: RunningServer, *, within_s: float) -> bool:
    """Return True if the address of a violator is refused for a time, during which its open connections go on."""
    async with peers(server, 2) as (violator, quiet):
        await asyncio.gather(violator.upgrade(), quiet.upgrade())
        began = asyncio.get_running_loop().time()
        await violator.flood(PINGS, len(PINGS))
        try:
            async with asyncio.timeout(within_s):
                while not await is_refused(server):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        except TimeoutError:
            return False
        await quiet.send(frame(FINAL | PING))
        assert await quiet.receive()
    assert await accepted_again(server) - began > FIRST_PAUSE_S
    return True


@pytest.mark.requirement("H20", "R17")
async def test_the_address_of_a_violator_gets_no_connection_for_a_time(unbounded: RunningServer) -> None:
    async with bounded(violation_pause_s=60) as server:
        assert await check_pause(server, within_s=WITHIN_S)
    assert not await check_pause(unbounded, within_s=0.3)


@pytest.mark.requirement("H20")
async def test_a_client_behind_a_proxy_pauses_alone() -> None:
    async with running_server(violation_pause_s=60) as server:  # loopback is a trusted proxy

        async def upgrade(peer: Peer, client: str) -> bool:
            await peer.send(UPGRADE.replace(b"Host: x\r\n", f"Host: x\r\nX-Forwarded-For: {client}\r\n".encode()))
            return bool(await peer.receive())

        async with peers(server, 3) as (violator, same, other):
            assert await upgrade(violator, "192.0.2.1")
            await violator.flood(PINGS, len(PINGS))
            assert await violator.ended(within_s=WITHIN_S)
            assert not await upgrade(same, "192.0.2.1")
            assert await upgrade(other, "192.0.2.2")


async def check_strangers(server: RunningServer, *, within_s: float) -> bool:
    """Return True if a connection that sends requests and does not log in is closed."""
    async with peers(server) as (peer,):
        await peer.upgrade()
        try:
            for number in range(100):
                await peer.request(Head(session.HEARTBEAT.name, seq=number), b"{}")
        except ConnectionError:
            return True
        return await peer.ended(within_s=within_s)


@pytest.mark.requirement("H5", "R17")
async def test_requests_before_a_login_are_few(unbounded: RunningServer) -> None:
    async with bounded(close_s=0.2, requests_before_login=32) as server:
        assert await check_strangers(server, within_s=WITHIN_S)
    assert not await check_strangers(unbounded, within_s=0.3)

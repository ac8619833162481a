"""Tests that bytes which wait for a peer, and bytes that a peer sends without an end, have a limit in memory.

Each check also runs on a server that lets its peers do what they want, and has to fail there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.support.hostile_peer import (
    BINARY,
    CONTINUATION,
    FINAL,
    PING,
    Peer,
    cut,
    frame,
    holds_soon,
    honest_login,
    memory,
    peers,
)
from timim.protocol.codec import encode
from timim.protocol.messages import ROAM_C2C, RoamC2CRequest
from timim.testing import RunningServer, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")
MIB = 1024 * 1024
FLOOD_BYTES = 12 * MIB
GROWTH_BYTES = 10 * MIB  # of the memory of a server with limits
PINGS = frame(FINAL | PING, bytes(125)) * 500
EMPTY_FRAGMENTS = frame(CONTINUATION) * 10_000
MESSAGE = "x" * 12_000
PAGES = 128
ENDLESS = {
    "fields": (b"GET / HTTP/1.1\r\n", b"X-A: %b\r\n" % (b"a" * 1000) * 60),
    "URL": (b"GET /", b"a" * 60_000),
    "value": (b"GET / HTTP/1.1\r\nX-A: ", b"a" * 60_000),
    "trailers": (b"POST /media HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A: ", b"a" * 60_000),
    "requests": (b"", b"GET /healthz HTTP/1.1\r\n\r\n" * 1000),
}
TOTAL_BYTES = 2 * MIB


@asynccontextmanager
async def bounded(**settings: Any) -> AsyncIterator[RunningServer]:
    limits: dict[str, Any] = {"least_rate_s": 0.8, "close_s": 0.4, "login_timeout_s": 30, "control_frames_per_s": 0, **settings}
    async with running_server(**limits) as server:
        yield server


async def check_pongs(server: RunningServer) -> bool:
    """Return True if a stranger who pings and reads nothing is cut, and the server is as before."""
    before = memory(server)
    async with peers(server) as (peer,):
        await peer.upgrade()
        took_all = await peer.flood(PINGS, FLOOD_BYTES)
        await honest_login(server)
        return not took_all and memory(server) - before < GROWTH_BYTES


@pytest.mark.requirement("H25")
async def test_pongs_that_a_stranger_does_not_read_are_bounded(unbounded: RunningServer) -> None:
    async with bounded() as server:
        assert await check_pongs(server)
    assert not await check_pongs(unbounded)


async def is_cut_off(peer: Peer, chunk: bytes, within_s: float) -> bool:
    """Send a chunk again and again, and return True if the server cuts the connection."""
    return not await peer.flood(chunk, FLOOD_BYTES // 4) or await peer.was_cut(within_s=within_s)


async def refused(server: RunningServer, *, within_s: float) -> list[str]:
    """Return the kinds of endless requests whose connection the server cuts."""
    kinds = list[str]()
    for kind, (begin, chunk) in ENDLESS.items():
        async with peers(server) as (peer,):
            await peer.send(begin)
            if await is_cut_off(peer, chunk, within_s):
                kinds.append(kind)
    return kinds


@pytest.mark.requirement("H29")
async def test_a_request_without_an_end_is_refused(unbounded: RunningServer) -> None:
    async with bounded() as server:
        before = memory(server)
        assert await refused(server, within_s=5) == list(ENDLESS)
        assert memory(server) - before < GROWTH_BYTES
    assert await refused(unbounded, within_s=0.2) == []


async def check_fragments(server: RunningServer, *, within_s: float) -> bool:
    """Return True if a peer that sends empty fragments without an end is cut."""
    async with peers(server) as (peer,):
        await peer.upgrade()
        await peer.send(frame(BINARY))
        return await is_cut_off(peer, EMPTY_FRAGMENTS, within_s)


@pytest.mark.requirement("H20")
async def test_empty_fragments_and_control_frames_without_an_end_close_the_websocket(unbounded: RunningServer) -> None:
    async with bounded() as server:
        assert await check_fragments(server, within_s=5)
    assert not await check_fragments(unbounded, within_s=0.2)
    async with bounded(control_frames_per_s=20, fragments_per_message=0) as server:
        assert await check_fragments(server, within_s=5)
        async with peers(server) as (peer,):
            await peer.upgrade()
            assert await is_cut_off(peer, frame(FINAL | PING) * 10_000, within_s=5)


async def log_in_at_a_long_history(server: RunningServer, peer: Peer) -> None:
    await server.add_users("bob")
    async with server.client("alice") as alice:
        await asyncio.gather(*(alice.c2c("bob").send(MESSAGE) for _ in range(48)))
    await peer.login(server, "bob")


async def check_answers(server: RunningServer) -> bool:
    """Return True if answers that nobody reads do not grow, and their connection is cut."""
    async with peers(server) as (peer,):
        await log_in_at_a_long_history(server, peer)
        before = memory(server)
        body = encode(RoamC2CRequest(peer="alice", max_cnt=100))
        for number in range(PAGES):
            await peer.ask(ROAM_C2C.name, body, number)
        grown = 0

        def too_much() -> bool:
            nonlocal grown
            grown = max(grown, memory(server) - before)
            return grown > 3 * GROWTH_BYTES

        return await holds_soon(lambda: too_much() or peer.is_cut(), within_s=4) and not too_much()


@pytest.mark.requirement("H26")
async def test_answers_that_are_not_read_are_bounded(unbounded: RunningServer) -> None:
    async with bounded() as server:
        assert await check_answers(server)
    assert not await check_answers(unbounded)


async def check_stalled_reader(server: RunningServer) -> bool:
    """Return True if a user who reads nothing is cut, while others go on."""
    async with peers(server, receive_buffer=4096) as (peer,), server.client("alice") as alice, server.client("carol") as carol:
        await peer.login(server, "bob")
        for _ in range(30):  # 7 MB: more than the kernel takes
            await asyncio.gather(*(alice.c2c("bob").send(MESSAGE) for _ in range(20)))
            await alice.c2c("carol").send("still here")
            if peer.is_cut():
                break
        assert carol.c2c("alice").unread > 0
        return await peer.was_cut(within_s=2)


@pytest.mark.requirement("H27")
async def test_a_stalled_reader_is_cut(unbounded: RunningServer) -> None:
    async with bounded() as server:
        assert await check_stalled_reader(server)
    assert not await check_stalled_reader(unbounded)


async def check_sum(server: RunningServer, *, within_s: float) -> bool:
    """Return True if strangers who are each within their limit are cut once their sum is over the limit of the process."""
    async with peers(server, 6) as hostile, peers(server) as (quiet,):
        await quiet.upgrade()
        for peer in hostile:
            await peer.upgrade()
        floods = [asyncio.create_task(peer.flood(PINGS, FLOOD_BYTES)) for peer in hostile]
        holds = await holds_soon(lambda: cut(hostile) > 0, within_s=within_s)
        for task in floods:
            task.cancel()
        await asyncio.gather(*floods, return_exceptions=True)
        return holds and not quiet.is_cut()


@pytest.mark.requirement("H25")
async def test_the_sum_of_all_waiting_bytes_is_bounded(unbounded: RunningServer) -> None:
    limits: dict[str, Any] = {"stranger_waiting_bytes": 0, "total_waiting_bytes": TOTAL_BYTES, "least_bytes_per_s": 0}
    async with bounded(**limits) as server:
        assert await check_sum(server, within_s=10)
    assert not await check_sum(unbounded, within_s=1.5)

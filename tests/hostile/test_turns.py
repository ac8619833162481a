"""Tests that a connection with thousands of frames in one read leaves the others their turn.

The check also runs on a server that lets its peers do what they want, and has to fail there.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.support.hostile_peer import FINAL, PING, Peer, frame, peers
from timim.testing import RunningServer, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")
PINGS = 40_000  # 240 kB, in one read or a few
ATTEMPTS = 5  # the first segments may arrive long before the other connection's ping
FEW = 3_000


async def pongs_before_another(server: RunningServer) -> int:
    """Return the number of pongs to a flood of pings that are sent before the pong to another connection, which asks later."""
    async with peers(server, 2) as (flood, quiet):
        await asyncio.gather(flood.upgrade(), quiet.upgrade())
        await flood.send(frame(FINAL | PING) * PINGS)
        await quiet.send(frame(FINAL | PING))
        assert await quiet.receive()
        return await received_now(flood) // len(frame(FINAL | PING)[:2])


async def received_now(peer: Peer) -> int:
    """Return the number of bytes that have arrived."""
    size = 0
    try:
        async with asyncio.timeout(0):
            while more := await peer.receive():
                size += len(more)
    except TimeoutError:
        pass
    return size


@pytest.mark.requirement("H20", "R17")
async def test_a_flood_of_frames_leaves_other_connections_their_turn(unbounded: RunningServer) -> None:
    async with running_server(control_frames_per_s=0) as server:
        counts = [await pongs_before_another(server) for _ in range(ATTEMPTS)]
        print(f"pongs of the flood before that of the other connection: {counts}")
        assert min(counts) < FEW
    counts = [await pongs_before_another(unbounded) for _ in range(ATTEMPTS)]
    print(f"without turns: {counts}")
    assert min(counts) > FEW

"""Tests that the address of a client comes from trusted proxies alone, and that limits count that address."""

from __future__ import annotations

import json

import pytest

from tests.support.hostile_peer import UPGRADE, Peer, peers, signature
from timim.protocol import session
from timim.protocol.frames import Head
from timim.testing import RunningServer, running_server

CLIENT = "192.0.2.7"


async def upgrade(peer: Peer, header: str = "", before: bytes = b"") -> bytes:
    """Open a websocket, with another header, and return the answer."""
    request = UPGRADE.replace(b"Host: x\r\n", b"Host: x\r\n" + header.encode())
    await peer.send(before + request)
    return await peer.receive()


async def address_seen(server: RunningServer, header: str = "", before: bytes = b"") -> str:
    """Return the address of the client that the server reports at login."""
    async with peers(server) as (peer,):
        assert b" 101 " in await upgrade(peer, header, before)
        head = Head(session.LOGIN.name, seq=1, identifier="alice", usersig=signature(server, "alice"))
        await peer.request(head, b"{}")
        reply = await peer.receive()
        return str(json.loads(reply[reply.index(b"{") :])["body"]["ClientIP"])


async def test_a_trusted_proxy_names_the_client() -> None:
    async with running_server() as server:
        assert await address_seen(server) == "127.0.0.1"
        assert await address_seen(server, f"X-Forwarded-For: 203.0.113.9, {CLIENT}\r\n") == CLIENT
        assert await address_seen(server, f"Forwarded: for={CLIENT};proto=https\r\n") == CLIENT


async def test_others_do_not_name_a_client() -> None:
    async with running_server(trusted_proxies="10.0.0.0/8") as server:
        assert await address_seen(server, f"X-Forwarded-For: {CLIENT}\r\n") == "127.0.0.1"
        assert await address_seen(server, f"Forwarded: for={CLIENT}\r\n") == "127.0.0.1"


async def test_a_proxy_header_names_the_client() -> None:
    async with running_server(proxy_protocol=True, request_head_s=0.5) as server:
        header = f"PROXY TCP4 {CLIENT} 127.0.0.1 4711 8700\r\n".encode()
        assert await address_seen(server, before=header) == CLIENT
        assert await address_seen(server, "X-Forwarded-For: 203.0.113.9\r\n", before=header) == CLIENT
        async with peers(server, 2) as (silent, other):
            await silent.send(b"PROXY TCP4")
            assert await upgrade(other) == b""
            assert await silent.was_cut(within_s=5)


@pytest.mark.requirement("H30b")
async def test_the_limit_counts_the_clients_behind_a_proxy() -> None:
    async with running_server(connections_per_address=3) as server, peers(server, 9) as connections:
        answers = [
            await upgrade(peer, f"X-Forwarded-For: 192.0.2.{number // 4}\r\n") for number, peer in enumerate(connections)
        ]
        assert [b" 101 " in answer for answer in answers] == [True, True, True, False] * 2 + [True]

"""Tests of joined writes: the head of a response and its first bytes reach the kernel by one call."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from timim.server.endpoints.peer_transport import PeerGuard, PeerTransport
from timim.server.metrics import Metrics
from timim.server.settings import Settings


class Written(asyncio.Transport):
    """A transport that records what is written, and in which order it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[bytes | str] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.calls.append(bytes(data))

    def close(self) -> None:
        self.calls.append("close")

    def abort(self) -> None:
        self.calls.append("abort")

    def get_write_buffer_size(self) -> int:
        return 0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


def peer_of(written: Written, settings: Settings) -> PeerTransport:
    return PeerTransport(written, PeerGuard(settings, Metrics()))


async def test_joined_writes_are_one_write(settings: Settings) -> None:
    peer = peer_of(written := Written(), settings)
    peer.join_writes()
    peer.write(b"head")
    peer.write(b"body")
    assert written.calls == []
    peer.write_joined()
    peer.write(b"more")
    peer.write_joined()
    assert written.calls == [b"headbody", b"more"]


async def test_a_close_writes_what_waits_first(settings: Settings) -> None:
    peer = peer_of(written := Written(), settings)
    peer.join_writes()
    peer.write(b"head")
    peer.close()
    assert written.calls == [b"head", "close"]


async def test_an_abort_discards_what_waits(settings: Settings) -> None:
    peer = peer_of(written := Written(), settings)
    peer.join_writes()
    peer.write(b"head")
    peer.abort()
    assert written.calls == ["abort"]

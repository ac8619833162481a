"""Tests of the routing of pushes: the order of notices, and the limit of their queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import msgspec
import pytest

from timim.engine import push_router
from timim.engine.config import ClientConfig
from timim.engine.conversation_settings import ConversationSettings
from timim.engine.inbox import Inbox
from timim.engine.push_queue import PushQueue
from timim.engine.push_router import PushRouter
from timim.protocol import session
from timim.protocol.codec import encode

CONFIG = ClientConfig("ws://127.0.0.1", 1, "alice", None)


class SlowSettings:
    """Conversation settings on a disk that stores nothing until `go_on` is set."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.applied: list[int] = []

    async def apply_read_notice(self, notice: session.ReadNotice) -> None:
        await self.go_on.wait()
        self.applied.append(notice.read_seq)


@pytest.fixture
async def settings() -> SlowSettings:
    return SlowSettings()


@pytest.fixture
async def router(settings: SlowSettings) -> AsyncIterator[PushRouter]:
    none = cast(Any, None)
    inbox = cast(Inbox, PushQueue())  # the router calls `push` only
    made = PushRouter(CONFIG, none, inbox, cast(ConversationSettings, settings), none)
    running = asyncio.create_task(made.run())
    yield made
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def push(read_seqs: Sequence[int]) -> session.DecodedPush:
    raws = [msgspec.Raw(encode(session.ReadNotice(peer="bob", read_seq=seq))) for seq in read_seqs]
    return session.DecodedPush(events=[session.DecodedEvent(event=session.EVENT_READ, reads=raws)])


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def test_notices_are_applied_in_the_order_of_their_arrival(router: PushRouter, settings: SlowSettings) -> None:
    assert router.route(push([1, 2]))
    assert router.route(push([3]))
    settings.go_on.set()
    await settle()
    assert settings.applied == [1, 2, 3]


async def test_notices_above_the_limit_are_dropped_and_a_sync_is_requested(
    router: PushRouter, settings: SlowSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push_router, "NOTICES_LIMIT", 5)
    assert router.route(push(range(1, 6)))
    await settle()  # the first one is being applied now
    assert router.route(push([6]))
    assert not router.route(push([7]))
    assert router.route(push([8, 9]))
    settings.go_on.set()
    await settle()
    assert settings.applied == [1, 8, 9]

"""Tests that logs at DEBUG, of libraries too, have no text of a message, on the server and in the client."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.protocol import Protocol

from timim.testing import EventRecorder
from timim.testing.in_process import local_server

SECRET = "what only alice and bob know"


@pytest.fixture
def verbose(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Set every logger to DEBUG."""
    levels = {name: logging.getLogger(name).level for name in logging.root.manager.loggerDict}
    caplog.set_level(logging.DEBUG)
    for name in levels:
        logging.getLogger(name).setLevel(logging.DEBUG)
    yield caplog
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


async def logged_frames(verbose: pytest.LogCaptureFixture) -> list[str]:
    """Exchange a message, send one that is no frame, and return the records that have a part of one."""
    async with local_server() as server, server.client("bob") as bob, server.client("alice") as alice:
        received = EventRecorder(bob)
        await alice.c2c("bob").send(SECRET)
        await received.wait_for_messages(1)
        await alice.c2c("bob").get_messages(10)
        async with connect(server.url) as stranger:
            await stranger.send(SECRET)
            with pytest.raises(ConnectionClosed):
                await stranger.recv()
    texts = [record.getMessage() for record in verbose.records if record.name != "websockets.client"]  # that of `stranger`
    assert texts
    return [text for text in texts if SECRET[:20] in text or SECRET[-20:] in text or "BINARY" in text]


@pytest.mark.requirement("H34")
async def test_no_log_has_the_text_of_a_message(verbose: pytest.LogCaptureFixture) -> None:
    assert await logged_frames(verbose) == []


@pytest.mark.requirement("H34")
async def test_libraries_that_log_frames_are_detected(
    verbose: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Protocol, "debug", property(lambda self: True, lambda self, value: None), raising=False)
    frames = await logged_frames(verbose)
    assert any(text.startswith(f"< TEXT '{SECRET[:20]}") for text in frames)
    assert any(text.startswith("> BINARY") for text in frames)

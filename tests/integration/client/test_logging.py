"""Tests of a client's log: an outage is two lines at INFO, and no line contains a message's text, a signature or a token."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from timim import Client, ConnectionRestored, FileElem, KickedOut
from timim.engine import push_router
from timim.testing import EventRecorder, RunningServer, running_server

WAIT_S = 20
REASONS = ("the connection was cut", "the connection was closed during a write", "the server closed the connection: .+")


@pytest.fixture
async def server() -> AsyncIterator[RunningServer]:
    async with running_server() as running:
        await running.add_users("alice", "bob")
        yield running


def lines(caplog: pytest.LogCaptureFixture, level: int) -> list[tuple[str, str, str]]:
    records = [record for record in caplog.records if record.levelno >= level]
    return [(record.name, record.levelname, record.getMessage()) for record in records]


def restored(client: Client) -> asyncio.Task[ConnectionRestored]:
    """Return a task that ends with the next ConnectionRestored event."""
    stream = client.events(ConnectionRestored)

    async def wait() -> ConnectionRestored:
        async with asyncio.timeout(WAIT_S), stream:
            return await anext(stream)

    return asyncio.create_task(wait())


def check_outage(logged: list[tuple[str, str, str]]) -> None:
    assert [(name, level) for name, level, _ in logged] == [("timim.transport.connection", "INFO")] * 2, logged
    assert re.fullmatch(rf"lost the connection of alice: ({'|'.join(REASONS)}) \(code 9508\)", logged[0][2])
    assert re.fullmatch(r"restored the connection of alice after \d+\.\d s", logged[1][2])


async def test_a_restart_of_the_server_is_logged_as_two_lines(
    server: RunningServer, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    async with server.client("alice", data_dir=tmp_path) as alice:
        with caplog.at_level(logging.INFO, logger="timim"):
            again = restored(alice)
            await server.stop()
            sending = asyncio.create_task(alice.c2c("bob").send("written during the outage"))
            await alice.c2c("bob").set_draft("a draft")
            await alice.c2c("bob").get_messages(10)
            await asyncio.sleep(1.0)
            await server.start()
            await again
            await sending
            check_outage(lines(caplog, logging.INFO))


async def test_a_cut_connection_is_logged_as_two_lines(server: RunningServer, caplog: pytest.LogCaptureFixture) -> None:
    async with server.client("alice") as alice:
        with caplog.at_level(logging.INFO, logger="timim"):
            again = restored(alice)
            cut = server.faults.cut(user="alice")
            await asyncio.gather(*(alice.c2c("bob").send(str(n)) for n in range(20)))
            assert cut.done
            await again
            check_outage(lines(caplog, logging.INFO))


async def test_a_login_and_a_logout_log_no_line_at_info(server: RunningServer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="timim"):
        async with server.client("alice") as alice:
            await alice.c2c("bob").send("hello")
    assert lines(caplog, logging.INFO) == []


async def test_a_login_that_the_server_ends_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    async with running_server(devices="one") as server, server.client("alice") as alice:
        stream = alice.events(KickedOut)
        with caplog.at_level(logging.INFO, logger="timim"):
            async with server.client("alice"), asyncio.timeout(WAIT_S), stream:
                await anext(stream)
        ((name, level, text),) = lines(caplog, logging.INFO)
        assert (name, level) == ("timim.transport.connection", "WARNING")
        assert text.startswith("the login of alice ended; the client does not reconnect: ")


async def test_no_line_has_a_text_a_signature_or_a_token(
    server: RunningServer, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    secrets = ["a text that nobody may read", "an edited text that nobody may read", "bytes that nobody may read"]
    with caplog.at_level(logging.DEBUG):
        alice, bob = server.client("alice", data_dir=tmp_path), server.client("bob")
        watch = EventRecorder(bob)
        async with alice, bob:
            signature, token = alice._user_sig, alice._engine.connection.server_info.token
            sent = await alice.c2c("bob").send(secrets[0])
            await sent.edit(secrets[1])
            await alice.c2c("bob").send(FileElem(data=secrets[2].encode(), filename="notes.txt"))
            await watch.wait_for_messages(2)
            file = watch.messages[1][0]
            assert isinstance(file, FileElem)
            assert await file.read() == secrets[2].encode()
            url = await file.signed_url()
            server.faults.cut(user="alice")
            await alice.c2c("bob").send(secrets[0])
    logged = "\n".join(f"{name} {text}" for name, _, text in lines(caplog, logging.DEBUG))
    assert "timim.engine.settling the server stored message" in logged
    assert "timim.engine.ingest stored 1 new messages of" in logged
    assert isinstance(signature, str)
    for secret in (*secrets, signature, token, url.rpartition("=")[2]):
        assert secret
        assert secret not in logged


async def test_notices_that_are_too_many_are_replaced_by_a_sync(
    server: RunningServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push_router, "NOTICES_LIMIT", 0)
    async with server.client("alice", platform="mobile") as phone, server.client("alice", platform="web") as browser:
        for n in range(3):
            async with server.client("bob") as bob:
                await bob.c2c("alice").send(str(n))
        async with asyncio.timeout(WAIT_S):
            while browser.c2c("bob").unread < 3 or phone.c2c("bob").unread < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await phone.c2c("bob").mark_read()
            while browser.c2c("bob").unread:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert "a sync fetches their content" in caplog.text

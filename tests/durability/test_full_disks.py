"""Tests of a full disk on either side: a message is either stored once or reported as failed."""

from __future__ import annotations

import asyncio
import random
import resource
from pathlib import Path

import pytest

import timim
from timim import Client, FileElem, Message, MessageStatus
from timim.testing import EventRecorder, RunningServer, running_server

BIG = "x" * 5000


async def outcomes(client: Client, name: str, count: int) -> dict[str, Message]:
    """Send `count` messages at once, check the status of each by its result, and return them by text."""
    messages = {f"{name} {n} {BIG}": Message(f"{name} {n} {BIG}") for n in range(count)}
    results = await asyncio.gather(*(client.c2c("bob").send(m) for m in messages.values()), return_exceptions=True)
    for message, result in zip(messages.values(), results, strict=True):
        if result is message:
            assert message.status is MessageStatus.SUCCEEDED
        else:
            assert isinstance(result, timim.StorageError | timim.ServerFault), result
            assert message.status is MessageStatus.FAILED
    return messages


async def check(server: RunningServer, sent: dict[str, Message]) -> None:
    """Check that bob's history has exactly the messages that succeeded, once each."""
    async with server.client("bob") as bob:
        stored = [m.text async for m in bob.c2c("alice").history(oldest_first=True)]
    assert sorted(stored) == sorted(text for text, m in sent.items() if m.status is MessageStatus.SUCCEEDED)


async def test_a_full_disk_of_the_sender_fails_the_send_clearly(tmp_path: Path) -> None:
    async with running_server() as server:
        await server.add_users("bob")
        async with server.client("alice", data_dir=tmp_path) as alice:
            sent = await outcomes(alice, "before", 5)
            pages = await alice.engine.store._file.write(lambda c: c.execute("PRAGMA page_count").fetchone()[0])
            await alice.engine.store._file.write(lambda c: c.execute(f"PRAGMA max_page_count={pages + 20}").fetchall())
            for wave in range(6):  # first there is room, then only for the messages but not for their acks, then for nothing
                sent |= await outcomes(alice, f"full {wave}", 5)
            failed = [m for m in sent.values() if m.status is MessageStatus.FAILED]
            assert len(failed) >= 10
            assert any(m.status is MessageStatus.SUCCEEDED for t, m in sent.items() if t.startswith("full"))
            await alice.engine.store._file.write(lambda c: c.execute("PRAGMA max_page_count=1000000").fetchall())
            sent |= await outcomes(alice, "after", 5)
            assert all(m.status is MessageStatus.SUCCEEDED for t, m in sent.items() if t.startswith("after"))
        await check(server, sent)
        # acked messages whose ack was not stored are sent again under their msg_ids
        async with server.client("alice", data_dir=tmp_path) as alice:
            await alice.c2c("bob").send("end")
            held = [m async for m in alice.c2c("bob").history() if m.text != "end"]
            assert {m.status for m in held} == {MessageStatus.SUCCEEDED}
            assert sorted(m.text for m in held) == sorted(t for t, m in sent.items() if m.status is MessageStatus.SUCCEEDED)
            sent["end"] = (await alice.c2c("bob").get_messages(1))[0]
        await check(server, sent)


async def test_a_full_disk_of_the_server_refuses_messages_and_recovers(tmp_path: Path) -> None:
    async with running_server() as server:
        await server.add_users("bob")
        async with server.client("alice", data_dir=tmp_path) as alice:
            sent = await outcomes(alice, "before", 5)
            log = server.folder / "timim.db-wal"
            hard = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)[1]
            resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (log.stat().st_size + 60_000, hard))
            for wave in range(6):
                sent |= await outcomes(alice, f"full {wave}", 5)
            assert len([m for m in sent.values() if m.status is MessageStatus.FAILED]) >= 10
            resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (hard, hard))
            sent |= await outcomes(alice, "after", 5)
            assert all(m.status is MessageStatus.SUCCEEDED for t, m in sent.items() if t.startswith("after"))
            await check(server, sent)
            await server.restart()
            await check(server, sent)
            held = [m async for m in alice.c2c("bob").history()]
            assert sorted(m.text for m in held) == sorted(sent)
            assert {m.text: m.status for m in held} == {text: m.status for text, m in sent.items()}


async def test_a_full_disk_of_the_server_refuses_content_and_recovers(tmp_path: Path) -> None:
    """Test that an upload without room fails with a clear error, leaves no file, and works when there is room again."""
    content = random.Random(1).randbytes(3_000_000)
    async with running_server() as server:
        await server.add_users("bob")
        async with server.client("alice", data_dir=tmp_path) as alice, server.client("bob") as bob:
            hard = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)[1]
            await alice.c2c("bob").send("before")
            resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (1_000_000, hard))
            message = Message(FileElem(data=content, filename="big"))
            with pytest.raises(timim.NetworkError, match="the media server is not ready: the server's store is unavailable"):
                await alice.c2c("bob").send(message)
            assert message.status is MessageStatus.FAILED
            await alice.c2c("bob").send("between")
            resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (hard, hard))
            watch = EventRecorder(bob)
            sent = await alice.c2c("bob").send(FileElem(data=content, filename="big"))
            (elem,) = await watch.wait_for_message(lambda heard: heard.seq == sent.seq)
            assert isinstance(elem, FileElem)
            assert await elem.read() == content
            kept = [path.stat().st_size for path in (server.folder / "media").rglob("*") if path.is_file()]
            assert kept == [len(content)]

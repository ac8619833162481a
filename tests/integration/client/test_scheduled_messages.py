"""Tests of `send(at=…)`: sent when due, also after a restart and a crash, once, and never after a cancellation."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from timim import FileElem, InvalidArgument, Message, MessageStatus, NotLoggedIn, OfflinePush
from timim.local_store.scheduled import ScheduledTable
from timim.testing import EventRecorder, RunningServer, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")
HOUR = timedelta(hours=1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[RunningServer]:
    async with running_server() as running:
        yield running


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Return the name of a user for one test."""
    return f"user{abs(hash(request.node.name)) % 10**8}"


def make_due(folder: Path) -> None:
    """Let two hours pass for the messages that wait in a data folder."""
    (path,) = folder.rglob("messages.db")
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE scheduled SET due=due-7200")


def contents(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("outgoing/*") if file.is_file()]


async def test_a_message_is_sent_when_it_is_due(server: RunningServer, name: str) -> None:
    now = datetime.now(UTC)
    async with server.client(f"{name}b") as bob, server.client(name) as alice:
        heard = EventRecorder(bob)
        conversation = alice.c2c(f"{name}b")
        later = await conversation.send("in an hour", at=now + HOUR)
        sooner = await conversation.send("in half an hour", at=now + HOUR / 2, push=OfflinePush(title="soon"))
        assert alice.scheduled_messages == [sooner, later]
        assert (later.status, later.seq, later.scheduled_at) == (MessageStatus.SENDING, 0, (now + HOUR).timestamp())
        assert conversation.last_message is None
        at_once = await conversation.send("at once", at=now - HOUR)
        assert (await heard.wait_for_message()).msg_id == at_once.msg_id
        assert (await conversation.get_local_messages(5))[0] is at_once
        assert [message.text for message in heard.messages] == ["at once"]


async def test_a_message_waits_across_restarts_with_all_that_it_has(server: RunningServer, name: str, tmp_path: Path) -> None:
    due = datetime.now(UTC) + HOUR
    group_name = f"{name}g"
    async with server.client(f"{name}b") as bob:
        alice = server.client(name, data_dir=tmp_path)
        async with alice:
            group = await alice.groups.create("Public", name=group_name, members=[f"{name}b"])
            message = Message("hello", FileElem(data=b"content", filename="a.txt"), cloud_custom_data="data")
            sent = await group.conversation.send(message, at=due, mention=[f"{name}b"])
            assert sent is message
            with pytest.raises(InvalidArgument, match="at: must have a time zone"):
                await group.conversation.send("x", at=due.replace(tzinfo=None))
            with pytest.raises(InvalidArgument, match="at: cannot be combined with timeout"):
                await group.conversation.send("x", at=due, timeout=3)
            with pytest.raises(InvalidArgument, match="the message is empty"):
                await group.conversation.send("", at=due)
        with pytest.raises(NotLoggedIn):
            await group.conversation.send("x", at=due)
        heard = EventRecorder(bob)
        late = server.client(name, data_dir=tmp_path)
        await late.open()
        (waiting,) = late.scheduled_messages
        assert (waiting.msg_id, waiting.text, waiting.mentions) == (message.msg_id, "hello", (f"{name}b",))
        assert waiting.conversation is late.group(group.id)
        assert waiting.scheduled_at == due.timestamp()
        await late.close()
        make_due(tmp_path)
        async with late:
            got = await heard.wait_for_message(lambda m: m.text == "hello")
            assert (got.msg_id, got.cloud_custom_data, got.mentions) == (message.msg_id, "data", (f"{name}b",))
            elem = got.elems[1]
            assert isinstance(elem, FileElem)
            assert await elem.read() == b"content"
            assert late.scheduled_messages == []
        async with late:
            assert late.scheduled_messages == []


async def test_a_crash_between_the_two_tables_sends_once(
    server: RunningServer, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def crash(self: ScheduledTable, msg_id: str) -> bool:
        await asyncio.Event().wait()
        return True

    async with server.client(f"{name}b") as bob:
        heard = EventRecorder(bob)
        alice = server.client(name, data_dir=tmp_path)
        async with alice:
            with monkeypatch.context() as patched:
                patched.setattr(ScheduledTable, "remove", crash)
                await alice.c2c(f"{name}b").send("once", at=datetime.now(UTC))
                await heard.wait_for_message()
        async with server.client(name, data_dir=tmp_path) as again:
            assert again.scheduled_messages == []
            await again.c2c(f"{name}b").send("end")
        await heard.wait_for_message(lambda m: m.text == "end")
        assert [message.text for message in heard.messages] == ["once", "end"]


async def test_a_cancelled_message_is_never_sent(server: RunningServer, name: str, tmp_path: Path) -> None:
    due = datetime.now(UTC) + HOUR
    async with server.client(name, data_dir=tmp_path) as alice:
        message = await alice.c2c("bob").send("never", FileElem(data=b"content", filename="a.txt"), at=due)
        (content,) = contents(tmp_path)
        assert await message.remove()
        assert message.status is MessageStatus.DELETED
        assert not content.exists()
        assert not await message.remove()
        assert alice.scheduled_messages == []
    async with server.client(name, data_dir=tmp_path) as again:
        assert again.scheduled_messages == []


async def test_a_repeated_handler_schedules_once(server: RunningServer, name: str) -> None:
    bot = server.client(name, max_attempts=2)
    results: list[Message] = []
    done = asyncio.Event()

    @bot.on_message
    async def remind(message: Message) -> None:
        text = f"reminder of attempt {message.attempt}"
        results.append(await message.conversation.send(text, at=datetime.now(UTC) + HOUR))
        if message.attempt == 1:
            raise ValueError
        done.set()

    async with bot, server.client(f"{name}b") as ann:
        await ann.c2c(name).send("/remind")
        async with asyncio.timeout(20):
            await done.wait()
        assert [message.text for message in bot.scheduled_messages] == ["reminder of attempt 1"]
        assert results[0] is results[1]
        assert results[1].replayed

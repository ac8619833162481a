"""Tests of the bots in examples/: each one does its work, is killed while it answers, starts again, and ends at SIGTERM."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.fork_server import FORK_SERVER, ForkedProcess
from tests.support.paths import ROOT
from timim import Client, Conversation, Group, MemberRole, Message, MessageRecalled, Muted
from timim.testing import RunningServer, running_server
from timim.testing.fault_proxy import Fault

EXAMPLES = ROOT / "examples"
BOTS = ("echo_bot", "order_desk", "group_moderator", "daily_report")
LINES_LIMIT = 60
LIMIT_S = 50
HOUR_S = 3600


class Bot:
    """An example that runs in a folder beside the data folder of a server, as a reader of its docstring runs it."""

    def __init__(self, name: str, server: RunningServer, folder: Path, settings: dict[str, str]) -> None:
        self._program = (str(EXAMPLES / f"{name}.py"),)
        self._server = server
        self._folder = folder
        self._settings = settings
        self._process: ForkedProcess | None = None
        self._held: Fault | None = None

    async def start(self) -> None:
        """Start the program, and wait until it is online; pass on the message that was held when it was killed."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("TIMIM_")}
        own = {"XDG_DATA_HOME": str(self._folder / "share"), "PYTHONUNBUFFERED": "1"}
        self._process = await FORK_SERVER.start(self._program, clean | own | self._settings, self._folder)
        assert self._process.stderr is not None
        errors = b""
        while line := await self._process.stderr.readline():
            errors += line
            if b"bot is online at " in line:
                break
        else:
            pytest.fail(f"the bot ended before it was online: {errors.decode()}")
        if self._held is not None:
            self._held.release()

    async def die_before_answer(self, question: str, conversation: Conversation, *, after_frames: int = 0) -> None:
        """Ask the bot, and kill it while a message to the server is held: the next one, or one after some others."""
        self._held = await self._hold(question, conversation, after_frames)
        await self.kill()

    async def die_before_ack(self, question: str, conversation: Conversation) -> None:
        """Ask the bot, and kill it when the server has the answer, and the bot does not know that yet."""
        answer = await self._hold(question, conversation, 0)
        ack = self._server.faults.stall(user="bot", direction="down")
        async with conversation.expect(from_bot, timeout=LIMIT_S) as received:
            answer.release()
        await received
        await ack.happened(timeout=LIMIT_S)
        await self.kill()
        ack.release()

    async def _hold(self, question: str, conversation: Conversation, after_frames: int) -> Fault:
        stall = self._server.faults.stall(user="bot", direction="up", after_frames=after_frames)
        await conversation.send(question)
        await stall.happened(timeout=LIMIT_S)
        return stall

    async def kill(self) -> None:
        """Kill the program by SIGKILL, if it runs."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def stop(self) -> str:
        """End the program by SIGTERM, check its exit code, and return its log since it was online."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        _, errors = await self._process.communicate()
        assert self._process.returncode == 0, errors
        assert errors is not None
        return errors.decode()


@asynccontextmanager
async def running_bot(name: str, server: RunningServer, folder: Path, **settings: str) -> AsyncIterator[Bot]:
    """Start an example that connects through the fault proxy, and kill it at the end."""
    data = folder / "timim-data"
    data.mkdir()
    (data / "app.json").write_text(json.dumps({"app_id": server.app_id, "secret_key": server.secret_key}))
    (data / "address.json").write_text(json.dumps({"url": server.faults.url}))
    bot = Bot(name, server, folder, settings)
    try:
        async with asyncio.timeout(LIMIT_S):
            await bot.start()
            yield bot
    finally:
        await bot.kill()


async def next_answer(conversation: Conversation, part: str, action: Awaitable[object]) -> str:
    """Return the text of the bot that contains these words and that an action causes."""
    async with conversation.expect(lambda m: from_bot(m) and part in m.text, timeout=LIMIT_S) as answer:
        await action
    return (await answer).text


async def ask(conversation: Conversation, question: str, part: str = "") -> str:
    """Return the text of the bot that contains these words and answers a question."""
    return await next_answer(conversation, part, conversation.send(question))


async def answers(conversation: Conversation) -> list[str]:
    """Return the texts of the bot in a conversation, as the server has them, the oldest first."""
    return [message.text for message in reversed(await conversation.get_messages(100)) if from_bot(message)]


def from_bot(message: Message) -> bool:
    return message.sender == "bot" and message.text != ""  # a tip of a group has no text


@pytest.fixture
async def server() -> AsyncIterator[RunningServer]:
    async with running_server() as running:
        yield running


@pytest.fixture
async def alice(server: RunningServer) -> AsyncIterator[Client]:
    await server.add_users("bot", "bob", "carol")
    async with server.client("alice") as client:
        yield client


@pytest.fixture
async def group(alice: Client) -> Group:
    """Return a group of alice with bob and the bot, which is an admin."""
    group = await alice.groups.create("Public", name="team", members=["bob", "bot"])
    await group.set_role("bot", MemberRole.ADMIN)
    return group


@pytest.mark.parametrize("name", BOTS)
def test_a_bot_has_at_most_60_lines(name: str) -> None:
    assert len((EXAMPLES / f"{name}.py").read_text().splitlines()) <= LINES_LIMIT


async def test_echo_bot_answers_each_message_once_and_in_order_across_kills(
    server: RunningServer, alice: Client, tmp_path: Path
) -> None:
    chat = alice.c2c("bot")
    async with running_bot("echo_bot", server, tmp_path) as bot:
        assert await ask(chat, "0") == "you said: 0"
        await bot.die_before_answer("1", chat)
        assert await answers(chat) == ["you said: 0"]
        await chat.send("2")
        assert await next_answer(chat, "you said: 2", bot.start()) == "you said: 2"
        await bot.die_before_ack("3", chat)
        assert await answers(chat) == [f"you said: {number}" for number in range(4)]
        await chat.send("4")
        assert await next_answer(chat, "you said: 4", bot.start()) == "you said: 4"
        assert "ERROR" not in await bot.stop()
    assert await answers(chat) == [f"you said: {number}" for number in range(5)]


async def test_order_desk_books_each_order_once_and_retries_dead_letters(
    server: RunningServer, alice: Client, tmp_path: Path
) -> None:
    chat, book = alice.c2c("bot"), tmp_path / "orders.csv"
    async with running_bot("order_desk", server, tmp_path) as bot, server.client("carol") as carol:
        assert await ask(chat, "hello") == "Write /help to see what I can do."
        assert await ask(chat, "/order 2 tea") == "booked: 2 tea"
        assert (await ask(chat, "/order 12 tea")).endswith("usage: /order COUNT DRINK")
        await bot.die_before_answer("/order 3 coffee", chat)
        book.rename(tmp_path / "moved.csv")
        book.mkdir()  # the bot cannot write the book any more
        await chat.send("/order 1 tea")
        report = await next_answer(carol.c2c("bot"), "alice ordered '/order 1 tea'", bot.start())
        assert "Repair it and write /retry" in report
        assert await ask(chat, "/retry", "/help") == "Write /help to see what I can do."  # the command is for carol
        book.rmdir()
        (tmp_path / "moved.csv").rename(book)
        retried = next_answer(chat, "booked: 1 tea", ask(carol.c2c("bot"), "/retry"))
        assert await retried == "booked: 1 tea"
        assert (await bot.stop()).count("ERROR") == 4  # three attempts, and the dead letter
    assert (await answers(chat))[3:] == ["booked: 3 coffee", "Write /help to see what I can do.", "booked: 1 tea"]
    assert [text for text in await answers(chat) if text == "booked: 2 tea"] == ["booked: 2 tea"]
    assert book.read_text().splitlines() == ["alice,2,tea", "alice,3,coffee", "alice,1,tea"]


async def test_group_moderator_obeys_admins_once_across_a_kill(
    server: RunningServer, alice: Client, group: Group, tmp_path: Path
) -> None:
    chat = group.conversation
    async with running_bot("group_moderator", server, tmp_path) as bot, server.client("bob") as bob:
        said = bob.group(group.id)
        assert await ask(said, "/mute alice 5", "admins") == "only the owner and admins may do that"
        assert await ask(chat, "/mute bob 0", "usage: /mute USER_ID [MINUTES]")
        assert await ask(chat, "/mute alice", "'alice' is Owner")  # the server refuses to let an admin mute the owner
        async with bob.events(MessageRecalled) as recalled:
            assert await ask(said, "Win in my CASINO", "advertising") == "bob: no advertising here"
            assert (await anext(recalled)).operator == "bot"
        await bot.die_before_answer("/mute bob 5", chat, after_frames=2)  # the question for the role, and the muting, pass
        await chat.send("/mute bob 7")
        assert await next_answer(chat, "7 min", bot.start()) == "bob is muted for 7 min"
        with pytest.raises(Muted):
            await said.send("hello?")
        assert await ask(chat, "/unmute bob", "may speak") == "bob may speak"
        await said.send("thanks")
        assert await ask(chat, "/kick bob off topic", "removed") == "bob is removed"
        assert [member.user_id for member in await group.members()] == ["alice", "bot"]
        assert "ERROR" not in await bot.stop()
    assert (await answers(chat))[-4:] == [
        "bob is muted for 5 min",
        "bob is muted for 7 min",
        "bob may speak",
        "bob is removed",
    ]


async def test_daily_report_counts_each_message_once_across_kills(
    server: RunningServer, alice: Client, group: Group, tmp_path: Path
) -> None:
    chat, title = group.conversation, "Messages since the last report"
    at = (datetime.now(UTC) + timedelta(hours=2)).time().isoformat()
    async with running_bot("daily_report", server, tmp_path, REPORT_AT=at) as bot, server.client("bob") as bob:
        await chat.send("one")
        await bob.group(group.id).send("two")
        assert await ask(chat, "/report") == f"{title}\nalice: 1\nbob: 1"
        await chat.send("three")
        await bot.die_before_answer("/report", chat)
        await chat.send("four")  # after the kill: counted by the next report
        assert await next_answer(chat, title, bot.start()) == f"{title}\nalice: 1"
        await bob.group(group.id).send("five")
        await bot.kill()
        await chat.send("six")
        server.clock.jump(3 * HOUR_S)
        counts: list[int] = []

        def all_are_counted(message: Message) -> bool:
            if from_bot(message):
                counts.extend(map(int, re.findall(r": (\d+)$", message.text, re.MULTILINE)))
            return sum(counts) >= 3

        async with chat.expect(all_are_counted, timeout=LIMIT_S) as last:
            await bot.start()
        await last
        assert "ERROR" not in await bot.stop()
    reports = "".join(await answers(chat))
    assert sum(map(int, re.findall(r"alice: (\d+)", reports))) == 4
    assert sum(map(int, re.findall(r"bob: (\d+)", reports))) == 2

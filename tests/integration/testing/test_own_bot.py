"""Tests of the bot of docs/tutorials/testing_your_bot.md under cuts and crashes, and of a faulty bot that must be detected."""

from __future__ import annotations

import asyncio
from pathlib import Path

# --8<-- [start:bot]
from timim import Client, Message
from timim.testing import EventRecorder, RunningServer


def parrot(bot: Client) -> None:
    """Answer each received message once. Call this before the login, so that no message is missed."""

    @bot.on_new_message
    async def answer(messages: list[Message]) -> None:
        for message in messages:
            await bot.c2c(message.sender).send(f"you said: {message.text}")


# --8<-- [end:bot]
# --8<-- [start:test]
async def test_each_question_is_answered_once_whatever_happens(timim_server: RunningServer, tmp_path: Path) -> None:
    server = timim_server
    bot = server.client("bot", data_dir=tmp_path, reconnect_limit=0.5)
    parrot(bot)
    async with bot, server.client("alice", reconnect_limit=0.5) as alice:
        watch = EventRecorder(alice)
        server.faults.cut(user="bot", after_frames=3, half=True, times=2)
        for i in range(5):
            await alice.c2c("bot").send(f"question {i}")
        await watch.wait_for_messages(5)
        await server.restart(crash_at="after-commit", count=2)
        asking = [asyncio.create_task(alice.c2c("bot").send(f"question {i}")) for i in range(5, 10)]
        await server.wait_for_exit()  # some questions are stored and not acknowledged
        await server.start()
        await asyncio.gather(*asking)
        answers = [message.text for message in await watch.wait_for_messages(10)]
    assert answers == [f"you said: question {i}" for i in range(10)]


# --8<-- [end:test]


async def test_a_bot_that_answers_twice_is_detected(timim_server: RunningServer, tmp_path: Path) -> None:
    """Test a mutant that does not wait for `send`, and sends again if the reply takes long."""
    server = timim_server
    bot = server.client("bot", data_dir=tmp_path, reconnect_limit=0.5, timeout=2)

    @bot.on_new_message
    async def answer(messages: list[Message]) -> None:
        for message in messages:
            text = f"you said: {message.text}"
            first = asyncio.create_task(bot.c2c(message.sender).send(text))
            await asyncio.wait((first,), timeout=0.2)
            if not first.done():
                await bot.c2c(message.sender).send(text)

    async with bot, server.client("alice") as alice:
        watch = EventRecorder(alice)
        ack = server.faults.drop(user="bot", direction="down", after_frames=1)
        await alice.c2c("bot").send("question")
        await ack.happened()
        assert [message.text for message in await watch.wait_for_messages(2)] == ["you said: question"] * 2

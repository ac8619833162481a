"""Tests of `timim handled`: the dead letters of a bot that is stopped."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.cli.test_cli import timim
from timim import Message
from timim.testing import RunningServer, running_server


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RunningServer]:
    async with running_server(data_dir=tmp_path / "timim-data") as running:
        yield running


async def test_dead_letters_are_listed_retried_and_dropped_while_the_bot_is_stopped(
    server: RunningServer, tmp_path: Path
) -> None:
    options = ("--as", "bot", "--kept", str(tmp_path / "bot"))

    async def handled(*words: str) -> tuple[int, str]:
        said = await timim(tmp_path, "handled", *words, *options)
        return said.code, said.out or said.err

    bot, calls, three = server.client("bot", data_dir=tmp_path / "bot", max_attempts=1), list[str](), asyncio.Event()

    @bot.on_message
    async def fail(message: Message) -> None:
        calls.append(message.text)
        if len(calls) == 3:
            three.set()
        raise ValueError(f"[red]{message.text}[/red]")

    async with server.client("alice") as alice, bot:
        for text in "abc":
            await alice.c2c("bot").send(text)
        await three.wait()
        code, refusal = await handled("list")
        assert code == 1
        assert refusal.startswith(f"timim: the data folder {bot.engine.config.folder} is open in another client")
    status, printed = await handled("list")
    lines = printed.splitlines()
    assert status == 0
    assert [line.split(": ")[1] for line in lines[::2]] == ["a", "b", "c"]
    assert lines[1].endswith(
        "1 attempts, "
        "test_dead_letters_are_listed_retried_and_dropped_while_the_bot_is_stopped.<locals>.fail: ValueError('[red]a[/red]')"
    )
    status, printed = await handled("list", "--json")
    letters = [json.loads(line) for line in printed.splitlines()]
    assert [(one["type"], one["text"], one["attempts"]) for one in letters] == [("dead_letter", text, 1) for text in "abc"]
    assert await handled("drop", letters[0]["msg_id"]) == (0, "1 of 3 dead letters dropped\n")
    assert await handled("drop", letters[0]["msg_id"]) == (3, "0 of 2 dead letters dropped\n")
    assert await handled("retry") == (1, "timim: give the msg_id of one dead letter, or --all (code 6017)\n")
    assert await handled("retry", "--all") == (0, "2 of 2 dead letters retried\n")
    assert await handled("list") == (3, "")
    calls.clear()
    again, done = server.client("bot", data_dir=tmp_path / "bot"), asyncio.Event()

    @again.on_message
    def note(message: Message) -> None:
        calls.append(message.text)
        if len(calls) == 2:
            done.set()

    async with again, asyncio.timeout(20):
        await done.wait()
    assert calls == ["b", "c"]

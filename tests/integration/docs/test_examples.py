"""Tests of the examples that are bots: they run to their end and print the answers."""

from __future__ import annotations

import asyncio
import sys

import pytest

from tests.support.paths import ROOT

LIMIT_S = 60
LINES_LIMIT = 60


@pytest.mark.parametrize(
    "words, answers",
    [
        (["echo_bot.py"], ["you said: hello"]),
        (
            ["order_bot.py", "--test"],
            ["Write /help to see what I can do.", "noted: 2 tea", "cancelled: 2 tea", "you have no order"],
        ),
    ],
    ids=["echo_bot", "order_bot"],
)
async def test_a_bot_answers(words: list[str], answers: list[str]) -> None:
    program, *options = words
    path = ROOT / "examples" / program
    assert len(path.read_text().splitlines()) <= LINES_LIMIT
    process = await asyncio.create_subprocess_exec(sys.executable, str(path), *options, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(LIMIT_S):
        out, _ = await process.communicate()
    assert process.returncode == 0
    printed = out.decode().splitlines()
    assert [line for line in printed if line in answers] == answers

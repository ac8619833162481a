"""Tests of P11 and P12: a message is handled at least once and answered exactly once, across kill -9 at any point."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.client_processes import Clients, client_processes
from timim import Client
from timim.testing import RunningServer, running_server

SENDERS = ("alice", "carol", "dave")
MESSAGES = 300
KILLS = 60
COMMITS = 8  # of a run in which the bot is killed at a commit
WORK = frozenset({"once", "answered"})
ATTEMPTS = 1_000  # a run can be killed before it handles anything


@pytest.fixture
async def server() -> AsyncIterator[RunningServer]:
    async with running_server(hello_interval_s=2) as running:
        yield running


async def run_and_kill(clients: Clients, server: RunningServer, folder: Path, rng: random.Random, **options: object) -> bool:
    """Run the bot until it is killed, at a commit or at a random time; return True if it was killed at a commit."""
    bot = await clients.start("answer", server, "bot", folder, **options)
    enough = rng.randrange(6)  # once and answered, for each message
    await bot.until(lambda said: sum(line[0] in WORK for line in said) >= enough or ["dead"] in said)
    at_commit = ["dead"] in bot.said
    await bot.kill()
    assert not [line for line in bot.said if line[0] == "wrong"]
    return at_commit


async def answers_to(sender: Client) -> list[tuple[str, str]]:
    """Return the answers that a sender got, oldest first: first or second, and the number of the message."""
    history = [message async for message in sender.c2c("bot").history(oldest_first=True)]
    return [(kind, number) for kind, number, *_ in (one.text.split() for one in history if not one.is_self)]


async def answered_under_kills(
    server: RunningServer, folder: Path, rng: random.Random, *, messages: int, kills: int, **options: object
) -> list[list[tuple[str, str]]]:
    """Let a bot answer messages while it is killed again and again; return the answers that each sender got."""
    await server.add_users("bot", *SENDERS)
    async with (
        server.client("alice") as alice,
        server.client("carol") as carol,
        server.client("dave") as dave,
        client_processes() as clients,
    ):
        senders = [alice, carol, dave]
        texts = [(senders[n % len(senders)], str(n // len(senders))) for n in range(messages)]
        at_commits = 0
        for n in range(kills):
            point = f"{('before-commit', 'after-commit')[n % 2]}:{n // 2 % COMMITS + 1}" if n < 2 * COMMITS else ""
            now = texts[n * messages // kills : (n + 1) * messages // kills]
            sending = asyncio.gather(*(sender.c2c("bot").send(text) for sender, text in now))
            at_commits += await run_and_kill(clients, server, folder, rng, failpoint=point, max_attempts=ATTEMPTS, **options)
            await sending
        assert kills < 2 * COMMITS or at_commits >= COMMITS // 2  # others are reported before they are killed
        last = await clients.start("answer", server, "bot", folder, max_attempts=ATTEMPTS, **options)
        await alice.c2c("bot").send("end")
        await last.until(lambda said: any(line[:3] == ["answered", "alice", "end"] for line in said))
        for sender in senders[1:]:
            await sender.c2c("bot").send("end")
            name = sender.user_id
            await last.until(lambda said, name=name: any(line[:3] == ["answered", name, "end"] for line in said))  # type: ignore[misc]
        return [await answers_to(sender) for sender in senders]


def expected(messages: int) -> list[tuple[str, str]]:
    numbers = [*map(str, range(messages // len(SENDERS))), "end"]
    return [(kind, number) for number in numbers for kind in ("first", "second")]


@pytest.mark.timeout(240)
@pytest.mark.requirement("P11")
@pytest.mark.requirement("P12")
async def test_each_message_is_answered_exactly_twice_in_order_across_kills(
    server: RunningServer, tmp_path: Path, seed: int
) -> None:
    got = await answered_under_kills(server, tmp_path, random.Random(seed), messages=MESSAGES, kills=KILLS)
    assert got == [expected(MESSAGES)] * len(SENDERS)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("mutant", ["forgets numbers", "handles early"])
async def test_answers_that_are_lost_or_repeated_are_detected(
    server: RunningServer, tmp_path: Path, seed: int, mutant: str
) -> None:
    got = await answered_under_kills(server, tmp_path, random.Random(seed), messages=180, kills=60, mutant=mutant)
    counted = Counter(answer for answers in got for answer in answers)
    wanted = Counter(answer for answers in [expected(180)] * len(SENDERS) for answer in answers)
    assert counted != wanted

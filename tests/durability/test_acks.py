"""Tests of R2: the server acknowledges after the commit. Kills at each failpoint lose no acked message."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.paths import MUTANTS
from timim import Client
from timim.testing import RunningServer
from timim.util.failpoints import FAILPOINTS, Failpoint

WAVES, TOGETHER = 12, 4  # each wave is one commit, so that a failpoint is reached several times
WAIT_S = 30


class Server(RunningServer):
    def __init__(self, folder: Path, program: Sequence[str] = ("-m", "timim.cli")) -> None:
        super().__init__(folder, {})
        self.program = program


async def survive(server: Server, failpoint: Failpoint, kills: int, rng: random.Random) -> tuple[list[str], list[str]]:
    """Return the acked and the stored messages, in order, after `kills` kills at this failpoint."""
    await server.start()
    try:
        await server.add_users("alice", "bob")
        acked: list[str] = []
        async with server.client("alice") as alice:
            for kill in range(kills):
                await server.restart(crash_at=failpoint, count=rng.randint(2, WAVES - 2))
                sending = asyncio.create_task(send(alice, f"{kill}."))
                await server.wait_for_exit()
                await server.start()
                async with asyncio.timeout(WAIT_S):
                    acked += await sending
            async with server.client("bob") as bob:
                stored = [message.text async for message in bob.c2c("alice").history(oldest_first=True)]
        return acked, stored
    finally:
        await server.faults.stop()
        await server.stop()


async def send(client: Client, name: str) -> list[str]:
    texts = [[f"{name}{wave}.{i}" for i in range(TOGETHER)] for wave in range(WAVES)]
    for wave in texts:
        await asyncio.gather(*(client.c2c("bob").send(text) for text in wave))
    return [text for wave in texts for text in wave]


@pytest.mark.parametrize("failpoint", FAILPOINTS)
@pytest.mark.requirement("P02", "R2")
async def test_nothing_acked_is_lost_and_nothing_is_stored_twice(tmp_path: Path, failpoint: Failpoint, seed: int) -> None:
    acked, stored = await survive(Server(tmp_path), failpoint, 1, random.Random(seed))
    assert stored == acked


@pytest.mark.soak
@pytest.mark.parametrize("failpoint", FAILPOINTS)
@pytest.mark.requirement("R2")
async def test_twenty_kills_at_each_failpoint(tmp_path: Path, failpoint: Failpoint, seed: int) -> None:
    acked, stored = await survive(Server(tmp_path), failpoint, 20, random.Random(seed))
    assert stored == acked


@pytest.mark.requirement("R2")
async def test_a_server_that_acks_before_the_commit_is_detected(tmp_path: Path, seed: int) -> None:
    mutant = Server(tmp_path, (str(MUTANTS / "ack_early.py"),))
    acked, stored = await survive(mutant, "before-commit", 1, random.Random(seed))
    assert set(acked) - set(stored)


@pytest.mark.requirement("R2")
async def test_a_server_that_does_not_recognise_a_resend_is_detected(tmp_path: Path, seed: int) -> None:
    mutant = Server(tmp_path, (str(MUTANTS / "no_dedupe.py"),))
    acked, stored = await survive(mutant, "after-commit", 1, random.Random(seed))
    assert sorted(stored) != sorted(acked)
    assert len(stored) > len(acked)

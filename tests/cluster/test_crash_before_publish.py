"""Tests of a gateway that dies between the commit and the hint (R7): its stored message is still delivered soon."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tests.support.backing_services import Postgres
from tests.support.chaos import killable_cluster
from timim.testing import EventRecorder, RunningServer

LIMIT_S = 30.0  # an upper bound for a busy machine
MUTANT_LIMIT_S = 4.0
NO_BEATS = ("-m", "tests.mutants.no_beats")
TELLS_ONCE = ("-m", "tests.mutants.tells_once")


async def a_gateway_dies_before_it_tells(
    postgres: Postgres, limit_s: float, *, resent: bool, program: Sequence[str] = RunningServer.program
) -> None:
    """Kill the sender's gateway before it publishes, and wait for the message at the other one.

    If `resent`, the sender's client sends the message again through the other gateway; otherwise new connections are refused.
    """
    async with killable_cluster(postgres, "untold", gateways=2, program=program) as cluster:
        first = cluster.running.gateways[0]
        await first.restart(crash_at="before-publish")
        async with cluster.running.client("alice") as alice, cluster.running.client("bob") as bob:  # one on each gateway
            watch = EventRecorder(bob)
            sending = asyncio.create_task(alice.c2c("bob").send("untold"))
            if not resent:
                await cluster.running.refuse()
            await first.wait_for_exit()
            try:
                async with asyncio.timeout(limit_s):
                    await watch.wait_for_message(lambda m: m.text == "untold")
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
            assert [m.text for m in watch.messages] == ["untold"]


@pytest.mark.requirement("R7")
async def test_a_message_resent_to_another_gateway_is_published_by_it(own_postgres: Postgres) -> None:
    await a_gateway_dies_before_it_tells(own_postgres, LIMIT_S, resent=True)


@pytest.mark.requirement("R7")
async def test_gateways_that_publish_only_new_entries_are_detected(own_postgres: Postgres) -> None:
    with pytest.raises(TimeoutError):
        await a_gateway_dies_before_it_tells(own_postgres, MUTANT_LIMIT_S, resent=True, program=TELLS_ONCE)


@pytest.mark.requirement("R7")
async def test_entries_a_dead_gateway_never_published_are_found(own_postgres: Postgres) -> None:
    await a_gateway_dies_before_it_tells(own_postgres, LIMIT_S, resent=False)


@pytest.mark.requirement("R7")
async def test_nodes_that_do_not_notice_a_dead_one_are_detected(own_postgres: Postgres) -> None:
    with pytest.raises(TimeoutError):
        await a_gateway_dies_before_it_tells(own_postgres, 2 * MUTANT_LIMIT_S, resent=False, program=NO_BEATS)

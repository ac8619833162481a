"""Tests of the limits of users' requests: rates, refusals that last for a pause, and fair shares of the work in progress."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from timim.server.messaging.rate_limiter import BUCKETS_LIMIT, UserRateLimiter
from timim.server.messaging.request_limits import SHARE_BYTES, FairShares, RequestLimits
from timim.server.metrics import Metrics
from timim.server.settings import Settings


class Clock:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.requirement("H30")
def test_a_refused_user_stays_refused_for_a_pause_and_has_the_average_rate() -> None:
    rates = UserRateLimiter(10.0, 20.0)
    accepted = [n for n in range(6000) if not rates.admit("alice", 1.0, n / 100)]
    assert 20 + 600 - 10 <= len(accepted) <= 20 + 600
    assert accepted[:20] == list(range(20))
    breaks = [later - earlier for earlier, later in pairwise(accepted) if later - earlier > 1]
    assert len(breaks) <= 61
    assert not rates.admit("bob", 1.0, 60.0)


def test_the_time_that_a_refusal_names_is_enough() -> None:
    rates = UserRateLimiter(10.0, 20.0)
    now = 0.0
    while not (wait_s := rates.admit("alice", 1.0, now)):
        pass
    assert 0.9 < wait_s <= 1.0
    assert rates.admit("alice", 1.0, now + wait_s - 0.01)
    assert [rates.admit("alice", 1.0, now + wait_s) for _ in range(10)] == [0.0] * 10


def test_a_charge_larger_than_the_bucket_is_admitted_by_a_full_bucket() -> None:
    rates = UserRateLimiter(100.0, 200.0)
    assert rates.admit("alice", 1000.0, 0.0) == 0.0
    wait_s = rates.admit("alice", 1000.0, 0.0)
    assert wait_s == 10.0
    assert rates.admit("alice", 1000.0, wait_s) == 0.0


@pytest.mark.requirement("H12", "H30")
def test_the_memory_of_refusals_is_bounded() -> None:
    rates = UserRateLimiter(1.0, 1.0)
    for n in range(3 * BUCKETS_LIMIT):
        rates.admit(f"user-{n}", 1.0, n / 1000)
        rates.admit(f"user-{n}", 1.0, n / 1000)
    assert len(rates) <= BUCKETS_LIMIT + 1
    assert len(rates._refused) <= BUCKETS_LIMIT + 1


def test_no_rate_is_no_limit_and_the_administrator_has_none() -> None:
    clock = Clock()
    off = RequestLimits(Settings(user_requests_per_s=0, user_bytes_per_s=0), Metrics(), now=clock)
    assert all(off.charge("alice", 1, 1 << 20) is None for _ in range(10_000))
    on = RequestLimits(Settings(user_requests_per_s=1, user_burst_s=1), Metrics(), now=clock)
    assert all(on.charge("administrator", 1, 100) is None for _ in range(100))
    assert on.charge("alice", 1, 100) is None
    refused = on.charge("alice", 1, 100)
    assert refused is not None
    assert (refused.code, refused.retry_after) == (60007, 1.0)


@pytest.mark.requirement("H30")
async def test_a_user_has_a_share_while_others_send_and_everything_when_alone() -> None:
    clock = Clock()
    shares = FairShares(2, now=clock)
    for _ in range(5):
        await shares.enter("alice")  # nobody else sends
    await shares.enter("bob")
    waiting = [asyncio.create_task(shares.enter("alice")) for _ in range(2)]
    await asyncio.sleep(0)
    await asyncio.wait_for(shares.enter("bob"), 1)
    for _ in range(3):
        assert not any(task.done() for task in waiting)
        shares.leave("alice")
        await asyncio.sleep(0)
    shares.leave("alice")
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    assert [task.done() for task in waiting] == [True, False]
    waiting[1].cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    for user in ("alice", "alice", "bob", "bob"):
        shares.leave(user)
    assert (shares._counts, shares._waiting) == ({}, {})
    clock.now += 2
    for _ in range(5):
        await shares.enter("alice")


@pytest.mark.requirement("H30")
async def test_a_request_with_a_long_reply_counts_as_several() -> None:
    shares = FairShares(8, now=Clock())
    page = 4 * SHARE_BYTES
    await shares.enter("bob")
    await shares.enter("alice", 100 * SHARE_BYTES)  # the first one is never refused
    waiting = [asyncio.create_task(shares.enter("alice", size)) for size in (page, page, 0, 0)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    shares.leave("alice", 100 * SHARE_BYTES)
    async with asyncio.timeout(5):
        await asyncio.gather(*waiting[:2])
    assert [task.done() for task in waiting] == [True, True, False, False]
    shares.leave("alice", page)
    async with asyncio.timeout(5):
        await asyncio.gather(*waiting)
    for size in (page, 0, 0):
        shares.leave("alice", size)
    shares.leave("bob")
    assert (shares._counts, shares._waiting) == ({}, {})


@pytest.mark.requirement("H30")
async def test_a_cancelled_request_passes_its_turn_on() -> None:
    shares = FairShares(1, now=Clock())
    await shares.enter("bob")
    await shares.enter("alice")
    first, second = [asyncio.create_task(shares.enter("alice")) for _ in range(2)]
    await asyncio.sleep(0)
    shares.leave("alice")
    first.cancel()
    async with asyncio.timeout(5):
        await second
    assert first.cancelled()
    for user in ("alice", "bob"):
        shares.leave(user)
    assert (shares._counts, shares._waiting) == ({}, {})

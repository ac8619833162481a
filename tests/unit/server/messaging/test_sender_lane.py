"""Tests of the sender's lane: messages are stored in their order, whichever attempts fail and whoever is cancelled."""

from __future__ import annotations

import asyncio
import random

import pytest

from timim.server.messaging.sender_lane import LanePlace, SenderLane

MESSAGES = 60
FAILURES = 0.15  # share of the executed entries that fail
SEEDS = range(30)


class Stale(Exception):
    """The entry was not stored."""


class QueueStore:
    """Executes submitted entries in batches, in their order, as the store does; some fail, and take those behind them along."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._queue: list[tuple[int, LanePlace, asyncio.Future[None]]] = []
        self.stored: list[int] = []

    async def append(self, number: int, place: LanePlace) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((number, place, done))
        await done

    async def run(self) -> None:
        while True:
            await asyncio.sleep(0)
            batch, self._queue = self._queue[:20], self._queue[20:]
            for _ in range(self._rng.randrange(3)):
                await asyncio.sleep(0)
            stale = False  # a statement stores no entry behind one that is outdated
            for number, place, done in batch:
                stale = stale or place.failed or self._rng.random() < FAILURES
                if stale:
                    place.fail()
                else:
                    self.stored.append(number)
                if not done.done():
                    done.set_exception(Stale()) if stale else done.set_result(None)


async def post(lane: SenderLane, store: QueueStore, number: int, rng: random.Random) -> None:
    place = lane.place()
    try:
        while True:
            while True:
                if not place.take_free_turn():
                    await place.wait_for_turn()
                try:
                    for _ in range(rng.choice((0, 0, 0, 1, 5))):  # reads of entities
                        await asyncio.sleep(0)
                    if not place.blocked:
                        break
                finally:
                    place.end_turn()
            place.submit()
            try:
                return await store.append(number, place)
            except Stale:
                continue
    finally:
        place.leave()


async def stored_order(lane: SenderLane, seed: int, *, cancelled: float = 0) -> list[int]:
    """Post messages of one sender through a store that fails some of them; return the order in which they are stored."""
    rng = random.Random(seed)
    store = QueueStore(rng)
    running = asyncio.create_task(store.run())
    posts = []
    async with asyncio.timeout(30):
        for number in range(MESSAGES):
            posts.append(asyncio.create_task(post(lane, store, number, rng)))
            for _ in range(rng.choice((0, 0, 1, 3))):
                await asyncio.sleep(0)
            if rng.random() < cancelled:
                rng.choice(posts).cancel()
        await asyncio.gather(*posts, return_exceptions=True)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return store.stored


@pytest.mark.parametrize("seed", SEEDS)
async def test_messages_that_fail_again_and_again_are_stored_in_their_order(seed: int) -> None:
    assert await stored_order(SenderLane(), seed) == list(range(MESSAGES))


@pytest.mark.parametrize("seed", SEEDS)
async def test_cancelled_messages_hold_up_no_others(seed: int) -> None:
    order = await stored_order(SenderLane(), seed, cancelled=0.2)
    assert order == sorted(order)
    assert len(order) > MESSAGES / 4


class Impatient(SenderLane):
    """A lane in which failed messages do not wait for the earlier ones that failed."""

    def is_blocked(self, place: LanePlace) -> bool:
        return super().is_blocked(place) and not self.has_failed(place)


async def test_a_lane_whose_failed_messages_do_not_wait_is_detected() -> None:
    assert any([await stored_order(Impatient(), seed) != list(range(MESSAGES)) for seed in SEEDS])


async def test_a_cancelled_wait_passes_the_turn_on() -> None:
    lane = SenderLane()
    first, second, third = lane.place(), lane.place(), lane.place()
    await lane.take_turn(first)
    waiting = [asyncio.create_task(lane.take_turn(place)) for place in (second, third)]
    await asyncio.sleep(0)
    lane.end_turn()  # grants the turn to the second message
    waiting[0].cancel()
    async with asyncio.timeout(10):
        await asyncio.gather(*waiting, return_exceptions=True)
    assert waiting[0].cancelled()
    assert not waiting[1].cancelled()

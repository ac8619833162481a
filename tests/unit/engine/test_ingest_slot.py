"""Tests of IngestSlot, which limits how many clients of one event loop store received messages at the same time."""

from __future__ import annotations

import asyncio

from timim.engine.ingest_slot import SLOTS, IngestSlot


async def _hold(slot: IngestSlot, holding: set[IngestSlot], most: list[int], end: asyncio.Event) -> None:
    async with slot:
        holding.add(slot)
        most.append(len(holding))
        await end.wait()
        holding.discard(slot)


async def test_no_more_clients_than_slots_store_at_once() -> None:
    end, most, holding = asyncio.Event(), list[int](), set[IngestSlot]()
    clients = [asyncio.create_task(_hold(IngestSlot(), holding, most, end)) for _ in range(3 * SLOTS)]
    for _ in range(10):  # turns of the event loop, of which the clients need two
        await asyncio.sleep(0)
    assert len(holding) == SLOTS
    end.set()
    await asyncio.gather(*clients)
    assert (len(most), max(most)) == (3 * SLOTS, SLOTS)


async def test_a_slot_can_be_given_up_early_and_is_counted_once() -> None:
    slots = [IngestSlot() for _ in range(SLOTS)]
    for slot in slots:
        await slot.__aenter__()
    waiting = asyncio.create_task(IngestSlot().__aenter__())
    slots[0].release()
    slots[0].release()  # has no effect
    await waiting
    another = asyncio.create_task(IngestSlot().__aenter__())
    for _ in range(10):
        await asyncio.sleep(0)
    assert not another.done()
    await slots[1].__aexit__(None, None, None)
    await another


async def test_a_client_that_stops_waiting_takes_no_slot() -> None:
    slots = [IngestSlot() for _ in range(SLOTS)]
    for slot in slots:
        await slot.__aenter__()
    waiting = asyncio.create_task(IngestSlot().__aenter__())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    slots[0].release()
    await asyncio.wait_for(IngestSlot().__aenter__(), 1)


def test_event_loops_do_not_share_slots() -> None:
    async def take_all() -> None:
        for _ in range(SLOTS):
            await IngestSlot().__aenter__()

    asyncio.run(take_all())
    asyncio.run(take_all())

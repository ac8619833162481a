"""Tests of a cluster whose database is restored from a back-up: devices keep lost messages, and get all new ones."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.backing_services import Nats, Postgres
from tests.support.deployment import THIS, Deployment, deployment
from timim import Client, HistoryReset
from timim.testing import EventRecorder

pytestmark = pytest.mark.timeout(180)  # several servers each, on a machine that others use too
# number of messages before the back-up, between back-up and restoration, and after the restoration
BEFORE, LOST, ANEW = 10, 5, 8


async def said(alice: Client, watch: EventRecorder, word: str, count: int) -> None:
    """Send `count` messages from alice to bob, and wait until bob has received them."""
    heard = len(watch.messages)
    for n in range(count):
        await alice.c2c("bob").send(f"{word} {n}")
    await watch.wait_for_messages(heard + count)


async def restored(running: Deployment, postgres: Postgres, folder: Path, *, new_epoch: bool) -> None:
    """Restore the database from a back-up older than the last messages, and check two devices that had them."""
    alice, bob = (running.client(user, data_dir=folder) for user in ("alice", "bob"))
    watch = EventRecorder(bob)
    async with bob, alice:
        await said(alice, watch, "before", BEFORE)
        backup = await asyncio.to_thread(postgres.back_up, "chat")
        await said(alice, watch, "lost", LOST)
    for gateway in list(running.gateways):
        await running.remove(gateway)
    await asyncio.to_thread(postgres.restore, "chat", backup)
    await running.add(new_epoch=new_epoch)
    await running.add()

    async with running.client("alice") as another:  # a new device, whose local store cannot conflict with the restored server
        for n in range(ANEW):
            assert (await another.c2c("bob").send(f"anew {n}")).seq == BEFORE + 1 + n
    alice, bob = (running.client(user, data_dir=folder) for user in ("alice", "bob"))
    watch, hers = EventRecorder(bob, HistoryReset), EventRecorder(alice)
    async with bob, alice:
        await watch.wait_for_event(HistoryReset)
        await watch.wait_for_messages(ANEW)
        assert (await alice.c2c("bob").send("after")).seq == BEFORE + ANEW + 1
        await watch.wait_for_message(lambda message: message.text == "after")
        assert [message.text for message in watch.messages] == [*(f"anew {n}" for n in range(ANEW)), "after"]
        await bob.c2c("alice").send("heard")
        await hers.wait_for_message(lambda message: message.text == "heard")
        there = [*(f"before {n}" for n in range(BEFORE)), *(f"anew {n}" for n in range(ANEW)), "after", "heard"]
        for device, peer in ((alice, "bob"), (bob, "alice")):
            page = await device.c2c(peer).get_messages(100)
            assert page.complete
            assert [(m.seq, m.text) for m in reversed(page) if m.seq] == list(enumerate(there, 1))
            kept = [m.text for m in await device.c2c(peer).get_local_messages(100) if not m.seq]
            assert sorted(kept) == [f"lost {n}" for n in range(LOST)]


async def test_messages_a_restored_backup_lost_stay_on_devices_and_new_ones_are_new(
    own_postgres: Postgres, nats_server: Nats, tmp_path: Path
) -> None:
    async with deployment(THIS, THIS, database=own_postgres.database("chat"), bus=nats_server.url) as running:
        await restored(running, own_postgres, tmp_path, new_epoch=True)


async def test_a_backup_restored_without_a_new_epoch_is_detected(
    own_postgres: Postgres, nats_server: Nats, tmp_path: Path
) -> None:
    async with deployment(THIS, THIS, database=own_postgres.database("chat"), bus=nats_server.url) as running:
        with pytest.raises((AssertionError, TimeoutError)):
            await restored(running, own_postgres, tmp_path, new_epoch=False)

"""Tests of the server's time: a device's clock may be wrong or jump, and messages have one order on all devices."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import pytest

import timim
from timim import Client, Message
from timim.server import Server, Settings
from timim.testing import EventRecorder, running_server

DAY_S = 86_400
WAIT_S = 20


@pytest.mark.requirement("F23")
async def test_a_device_with_a_wrong_jumping_clock_uses_server_time(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)

    def wrong() -> float:
        return time.time() + rng.choice((-1, 1)) * rng.uniform(DAY_S, 3 * DAY_S)

    async with running_server() as server:
        await server.add_users("bob", "carol")
        alice = server.client("alice", data_dir=tmp_path, now=wrong)
        await alice.open()
        offline = Message("written before any login")
        waiting = asyncio.create_task(alice.c2c("bob").send(offline))
        while not offline.local_id:
            await alice.c2c("bob").get_local_messages(1)
        assert abs(offline.timestamp - time.time()) > DAY_S / 2  # the device has not learned the server's time yet
        async with alice, server.client("bob") as bob:
            sent = await asyncio.wait_for(waiting, WAIT_S)
            assert abs(sent.timestamp - time.time()) < 5  # exact after the ack
            stall = server.faults.stall(user="alice", direction="up")
            calibrated = Message("calibrated")
            sending = asyncio.create_task(alice.c2c("bob").send(calibrated))
            await stall.happened()
            # nearly exact before the ack, too, from the server's time at login
            assert abs(calibrated.timestamp - time.time()) < 5
            stall.release()
            await sending
            for n in range(20):
                await (alice if n % 2 else bob).c2c("bob" if n % 2 else "alice").send(str(n))
            await alice.c2c("carol").send("the newest")
            # the wrong date did not move a conversation to the top
            assert [c.peer for c in alice.conversations] == ["carol", "bob"]
            mine = [(m.seq, m.timestamp, m.text) async for m in alice.c2c("bob").history(oldest_first=True)]
            his = [(m.seq, m.timestamp, m.text) async for m in bob.c2c("alice").history(oldest_first=True)]
            assert mine == his
            assert [text for _, _, text in mine] == [offline.text, calibrated.text, *map(str, range(20))]
            assert [at for _, at, _ in mine] == sorted(at for _, at, _ in mine)


@pytest.mark.requirement("F23")
async def test_messages_of_one_second_keep_one_order_when_the_server_clock_jumps(tmp_path: Path) -> None:
    now = 2_000_000_000.0

    def clock() -> float:
        return now

    settings = await asyncio.to_thread(  # reads a file
        lambda: Settings(port=0, data_dir=tmp_path / "server", app_id=1_400_000_009, secret_key="k" * 32)
    )
    async with Server(settings, now=clock) as server:

        def client(user: str, folder: str) -> Client:
            signature = timim.sign_user(server.app_id, server.secret_key, user, now=now)
            return Client(server.url, app_id=server.app_id, user_id=user, user_sig=signature, data_dir=tmp_path / folder)

        async with client("bob", "b"):
            pass
        async with client("alice", "a") as alice, client("alice", "a2") as other, client("bob", "b") as bob:
            watch, on_other = EventRecorder(bob), EventRecorder(other)
            for n, jump in enumerate((0, 0, 0, 3600, -7200, 0, 1, -DAY_S, 0, 2 * DAY_S)):
                now += jump
                await asyncio.gather(*(alice.c2c("bob").send(f"{n}.{i}") for i in range(5)))
            said = [f"{n}.{i}" for n in range(10) for i in range(5)]
            assert [m.text for m in await watch.wait_for_messages(50)] == said
            assert [m.text for m in await on_other.wait_for_messages(50)] == said
            for device, peer in ((alice, "bob"), (other, "bob"), (bob, "alice")):
                history = [m async for m in device.c2c(peer).history(oldest_first=True)]
                assert [m.text for m in history] == said
                times = [m.timestamp for m in history]
                assert times == sorted(times)  # times do not decrease
                assert len(set(times)) < 10  # several messages have the same second
                assert [m.text async for m in device.c2c(peer).history()] == said[::-1]

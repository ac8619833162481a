"""The measured scenarios. Each takes a started driver and a size, and returns figures; a wrong result raises."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import psutil

from bench.drivers import Driver, Session

Figures = dict[str, float]
_ME = psutil.Process()
WARM_UP = 20
WAIT_S = 120


def text(i: int) -> str:
    return f"{i:08d} 你好，明天下午三点在二号会议室开会，请带上上个月的报告和预算表。"


def client_cpu() -> float:
    times = _ME.cpu_times()
    return float(times.user + times.system)


def at(share: float, values: list[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


async def two(driver: Driver) -> tuple[Session, Session]:
    for name in ("alice", "bob"):
        await driver.make_user(name)
    return await driver.login("alice"), await driver.login("bob")


async def ping(driver: Driver, n: int) -> Figures:
    """Measure the times to ack and delivery with one message in flight."""
    alice, bob = await two(driver)
    arrivals: dict[str, asyncio.Future[float]] = {}
    bob.on_receive(lambda heard: arrivals[heard[:8]].set_result(time.perf_counter()))
    acks: list[float] = []
    deliveries: list[float] = []
    for i in range(n + WARM_UP):
        arrivals[f"{i:08d}"] = arrived = asyncio.get_running_loop().create_future()
        begun = time.perf_counter()
        await alice.send(alice.peer("bob"), text(i))
        acked = time.perf_counter()
        delivered = await asyncio.wait_for(arrived, WAIT_S)
        if i >= WARM_UP:
            acks.append((acked - begun) * 1e3)
            deliveries.append((delivered - begun) * 1e3)
    await alice.close()
    await bob.close()
    return {"ack_p50_ms": at(0.5, acks), "ack_p99_ms": at(0.99, acks), "delivery_p50_ms": at(0.5, deliveries)}


async def pump(session: Session, conversation: str, n: int, in_flight: int) -> None:
    """Send `n` messages, `in_flight` at a time, in order."""
    slots = asyncio.Semaphore(in_flight)

    async def one(i: int) -> None:
        try:
            await session.send(conversation, text(i))
        finally:
            slots.release()

    async with asyncio.TaskGroup() as tasks:
        for i in range(n):
            await slots.acquire()
            tasks.create_task(one(i))


async def throughput(driver: Driver, n: int) -> Figures:
    """Measure many messages in flight, until all are acked and delivered in order."""
    alice, bob = await two(driver)
    arrived: list[str] = []
    done = asyncio.Event()

    def take(heard: str) -> None:
        arrived.append(heard[:8])
        if len(arrived) in (WARM_UP, WARM_UP + n):
            done.set()

    bob.on_receive(take)
    await pump(alice, alice.peer("bob"), WARM_UP, 8)
    await asyncio.wait_for(done.wait(), WAIT_S)
    done.clear()
    server, client, begun = driver.server_cpu(), client_cpu(), time.perf_counter()
    await pump(alice, alice.peer("bob"), n, driver.inflight)
    await asyncio.wait_for(done.wait(), WAIT_S)
    took = time.perf_counter() - begun
    if arrived[WARM_UP:] != [f"{i:08d}" for i in range(n)]:
        raise RuntimeError("messages were lost, repeated or out of order")
    figures = {
        "messages_s": n / took,
        "server_cpu_s_per_1000": (driver.server_cpu() - server) / n * 1000,
        "client_cpu_s_per_1000": (client_cpu() - client) / n * 1000,
    }
    await alice.close()
    await bob.close()
    return figures


async def fanout(driver: Driver, n: int) -> Figures:
    """Send from one member to 100 others of a group, until each has received all messages."""
    names = [f"m{i}" for i in range(100)]
    for name in ("alice", *names):
        await driver.make_user(name)
    alice = await driver.login("alice")
    members = [await driver.login(name) for name in names]
    group = await driver.make_group(alice, members)
    left = 0
    done = asyncio.Event()

    def take(heard: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            done.set()

    for member in members:
        member.on_receive(take)
    took = server = 0.0
    for count in (2, n):  # the first round is a warm-up
        left = count * len(members)
        done.clear()
        before, begun = driver.server_cpu(), time.perf_counter()
        await pump(alice, group, count, 8)
        await asyncio.wait_for(done.wait(), WAIT_S)
        took, server = time.perf_counter() - begun, driver.server_cpu() - before
    deliveries = n * len(members)
    await asyncio.gather(alice.close(), *(member.close() for member in members))
    return {"deliveries_s": deliveries / took, "server_cpu_s_per_1000": server / deliveries * 1000}


async def history(driver: Driver, n: int) -> Figures:
    """Page back through the whole history on a device with an empty store, 100 messages a page."""
    alice, bob = await two(driver)
    await pump(alice, alice.peer("bob"), n, driver.inflight)
    await alice.close()
    await bob.close()
    fresh = await driver.login("alice")
    got = 0
    begun = time.perf_counter()
    async for page in fresh.history(fresh.peer("bob"), 100):
        got += len(page)
    took = time.perf_counter() - begun
    if got != n:
        raise RuntimeError(f"{got} of {n} messages were received")
    await fresh.close()
    return {"rows_s": got / took}


async def login(driver: Driver, n: int) -> Figures:
    """Connect, log in and list 100 conversations with their last messages, on a device with an empty store."""
    await driver.make_user("alice")
    await driver.seed_conversations("alice", 100)
    times: list[float] = []
    for _ in range(n):
        begun = time.perf_counter()
        session = await driver.login("alice")
        listed = await session.conversations()
        times.append((time.perf_counter() - begun) * 1e3)
        if listed != 100:
            raise RuntimeError(f"{listed} of 100 conversations are listed")
        await session.close()
    return {"ready_p50_ms": at(0.5, times[1:])}


async def idle(driver: Driver, n: int) -> Figures:
    """Measure the server's memory for each idle online client."""
    names = [f"i{i}" for i in range(n)]
    for name in names:
        await driver.make_user(name)
    await asyncio.sleep(1)
    base = driver.server_rss()
    sessions: list[Session] = []
    for i in range(0, n, 10):
        sessions += await asyncio.gather(*(driver.login(name) for name in names[i : i + 10]))
    await asyncio.sleep(1)
    grown = driver.server_rss() - base
    await asyncio.gather(*(session.close() for session in sessions))
    return {"kib_per_client": grown / n / 1024, "base_mib": base / 2**20}


SCENARIOS: dict[str, tuple[Callable[[Driver, int], Awaitable[Figures]], int]] = {
    "ping": (ping, 500),
    "throughput": (throughput, 5000),
    "fanout": (fanout, 200),
    "history": (history, 10_000),
    "login": (login, 9),
    "idle": (idle, 200),
}

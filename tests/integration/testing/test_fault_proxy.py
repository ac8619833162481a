"""Tests of the test kit (P10): each fault has its described effect, and a misspelled name is an error."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from timim import AuthError, InvalidArgument, MessageStatus
from timim.events import ConnectionLost, ConnectionRestored
from timim.server.handlers import c2c
from timim.testing import (
    EventRecorder,
    Faults,
    LocalServer,
    RunningServer,
    VirtualClock,
    WallClock,
    local_server,
    running_server,
)
from timim.util.failpoints import FAILPOINTS, Failpoint

HOUR_S = 3600
SILENCE_S = 300  # two and a half times the silence that the server permits


@pytest.fixture
async def server() -> AsyncIterator[LocalServer]:
    async with local_server(hello_interval_s=2) as running:
        yield running


@pytest.fixture
async def process() -> AsyncIterator[RunningServer]:
    async with running_server(hello_interval_s=2) as running:
        yield running


async def stored(server: LocalServer | RunningServer, sender: str = "alice", receiver: str = "bob") -> list[str]:
    async with server.client(receiver) as device:
        return [m.text async for m in device.c2c(sender).history(oldest_first=True)]


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.requirement("P10")
async def test_a_cut_comes_after_the_given_number_of_frames(server: LocalServer, half: bool) -> None:
    await server.add_users("bob")
    alice = server.client("alice", reconnect_limit=0.01)
    watch = EventRecorder(alice, ConnectionLost, ConnectionRestored)
    async with alice:
        for text in "ab":
            await alice.c2c("bob").send(text)
        fault = server.faults.cut(user="alice", direction="up", after_frames=1, half=half)
        await alice.c2c("bob").send("passes")
        assert (fault.done, watch.events) == (0, [])
        await alice.c2c("bob").send("is cut")
        assert fault.done == 1
        await watch.wait_for_event(ConnectionRestored)
    assert await stored(server) == ["a", "b", "passes", "is cut"]


@pytest.mark.requirement("P10")
async def test_a_stall_holds_until_it_is_released(server: LocalServer) -> None:
    await server.add_users("bob")
    async with server.client("alice") as alice, server.client("bob") as bob:
        watch = EventRecorder(bob)
        fault = server.faults.stall(user="bob", direction="down")
        assert (await alice.c2c("bob").send("held")).status is MessageStatus.SUCCEEDED
        await fault.happened()
        assert watch.messages == []
        fault.release()
        assert [m.text for m in await watch.wait_for_messages(1)] == ["held"]


@pytest.mark.requirement("P10")
async def test_a_message_split_into_pieces_arrives_whole(server: LocalServer) -> None:
    async with server.client("alice") as alice, server.client("bob") as bob:
        watch = EventRecorder(bob)
        faults = [server.faults.split(size_bytes=1, user="alice", direction="up"), server.faults.split(user="bob")]
        await alice.c2c("bob").send("x" * 3000)
        assert [m.text for m in await watch.wait_for_messages(1)] == ["x" * 3000]
        assert [fault.done for fault in faults] == [1, 1]


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.requirement("P10")
async def test_a_duplicated_message_counts_once(server: LocalServer, direction: Any) -> None:
    async with server.client("alice") as alice, server.client("bob") as bob:
        watch = EventRecorder(bob)
        fault = server.faults.duplicate(user="alice" if direction == "up" else "bob", direction=direction)
        for text in "abc":
            await alice.c2c("bob").send(text)
        assert [m.text for m in await watch.wait_for_messages(3)] == ["a", "b", "c"]
        assert fault.done == 1
    assert await stored(server) == ["a", "b", "c"]


@pytest.mark.requirement("P10")
async def test_reordered_messages_are_delivered_in_order(server: LocalServer) -> None:
    async with server.client("alice") as alice, server.client("bob") as bob:
        watch = EventRecorder(bob)
        fault = server.faults.reorder(user="bob", direction="down")
        await alice.c2c("bob").send("first")
        await fault.happened()
        await alice.c2c("bob").send("second")
        assert [m.text for m in await watch.wait_for_messages(2)] == ["first", "second"]
        assert len(watch.messages) == 2


@pytest.mark.requirement("P10")
async def test_a_dropped_message_is_missed_and_fetched(server: LocalServer) -> None:
    async with server.client("alice", timeout=2, reconnect_limit=0.01) as alice, server.client("bob") as bob:
        ack = server.faults.drop(user="alice", direction="down")
        assert (await alice.c2c("bob").send("its ack is lost")).seq == 1
        await bob.c2c("alice").get_messages(1)
        watch = EventRecorder(bob)
        push = server.faults.drop(user="bob", direction="down")
        assert (await alice.c2c("bob").send("its push is lost")).seq == 2
        assert [m.text for m in await watch.wait_for_messages(1)] == ["its push is lost"]
        assert (ack.done, push.done) == (1, 1)
    assert await stored(server) == ["its ack is lost", "its push is lost"]


@pytest.mark.requirement("P10")
async def test_a_delay_lasts_as_long_as_given(server: LocalServer) -> None:
    async with server.client("alice") as alice, server.client("bob") as bob:
        watch = EventRecorder(bob)
        server.faults.delay(0.3, user="bob", direction="down")
        begun = time.perf_counter()
        await alice.c2c("bob").send("late")
        await watch.wait_for_messages(1)
        assert time.perf_counter() - begun >= 0.3


@pytest.mark.requirement("P10")
async def test_faults_affect_only_the_named_user_and_can_be_cleared(server: LocalServer) -> None:
    async with server.client("alice") as alice, server.client("bob") as bob:
        watch = EventRecorder(bob, ConnectionLost)
        server.faults.cut(user="carol")
        other = server.faults.cut(user="bob", after_frames=1000)
        server.faults.clear()
        await alice.c2c("bob").send("hello")
        await watch.wait_for_messages(1)
        assert (watch.events, other.left, server.faults.counts) == ([], 0, {})
        assert server.faults.cut_all() == 2
        await watch.wait_for_event(ConnectionLost)


@pytest.mark.requirement("P10")
async def test_chaos_is_reproducible_by_its_seed() -> None:
    """The decisions for the n-th message are equal. The number of messages is not: requests may share a websocket message."""
    seen = []
    for seed in (7, 7, 8):
        faults = Faults()
        async with faults.chaos(seed, rate=0.5, kinds=("split", "delay")) as counts:
            decisions = [fault and (fault.kind, fault.amount) for fault in (faults.choose("alice", "up") for _ in range(40))]
        assert set(counts) == {"split", "delay"}
        assert sum(counts.values()) == sum(fault is not None for fault in decisions)
        seen.append(decisions)
    assert seen[0] == seen[1] != seen[2]


@pytest.mark.requirement("P10")
async def test_chaos_affects_the_messages_of_clients(server: LocalServer) -> None:
    await server.add_users("bob")
    async with server.client("alice") as alice, server.faults.chaos(7, rate=0.5, kinds=("split", "delay")) as counts:
        for i in range(20):
            await alice.c2c("bob").send(str(i))
    assert set(counts) == {"split", "delay"}


@pytest.mark.parametrize("failpoint", ["before-publish", "before-ack"])
@pytest.mark.requirement("P10")
async def test_a_crash_between_commit_and_ack_stores_once(process: RunningServer, failpoint: Failpoint) -> None:
    await process.add_users("bob")
    async with process.client("alice", reconnect_limit=0.1) as alice:
        await process.restart(crash_at=failpoint, count=1)
        await alice.login()
        sending = asyncio.create_task(alice.c2c("bob").send("on disk, and not acked"))
        await process.wait_for_exit()
        assert not sending.done()
        await process.start()
        assert (await sending).seq == 1
    assert await stored(process) == ["on disk, and not acked"]


@pytest.mark.requirement("P10")
async def test_nothing_goes_back_when_the_server_clock_jumps(process: RunningServer) -> None:
    async with process.client("alice") as alice, process.client("bob") as bob:
        watch = EventRecorder(bob)
        times = []
        for jump_s in (0, 2 * HOUR_S, -5 * HOUR_S, 24 * HOUR_S, -24 * HOUR_S):
            process.clock.jump(jump_s)
            begun = process.clock.now()
            times.append((begun, (await alice.c2c("bob").send(str(jump_s))).timestamp))
        heard = await watch.wait_for_messages(5)
    assert [m.seq for m in heard] == [1, 2, 3, 4, 5]
    assert abs(times[1][1] - times[1][0]) < 10, "the server must use the clock that was set"
    stamps = [m.timestamp for m in heard]
    assert stamps == sorted(stamps), "times must not decrease within a timeline"
    assert stamps[3] - stamps[0] > 20 * HOUR_S
    await process.restart()
    assert process.clock.offset_s == -3 * HOUR_S, "the offset must survive a restart"
    assert await stored(process) == [m.text for m in heard]


@pytest.mark.requirement("P10")
async def test_a_signature_is_checked_by_the_servers_clock() -> None:
    clock = WallClock()
    async with local_server(clock) as server:
        late = server.client("alice")
        clock.set(200 * 24 * HOUR_S)
        with pytest.raises(AuthError):
            await late.login()
        clock.set(0)
        async with late:
            pass


@pytest.mark.parametrize("offset_s", [-400 * 24 * HOUR_S, -HOUR_S, HOUR_S, 400 * 24 * HOUR_S])
@pytest.mark.requirement("P10")
async def test_a_device_with_a_wrong_clock_sends_with_server_time(server: LocalServer, tmp_path: Path, offset_s: float) -> None:
    clock = WallClock(offset_s=offset_s)
    async with server.client("bob") as bob, server.client("alice", data_dir=tmp_path, now=clock.now) as alice:
        watch = EventRecorder(bob)
        first = await alice.c2c("bob").send("one")
        clock.jump(-2 * offset_s)
        second = await alice.c2c("bob").send("two")
        assert [m.text for m in await watch.wait_for_messages(2)] == ["one", "two"]
        assert all(abs(m.timestamp - time.time()) < 10 for m in (first, second))


async def heartbeats() -> tuple[float, int, list[object]]:
    """Be silent for `SILENCE_S` on a virtual clock. Return the passed time, the number of messages, and connection events."""
    clock = _clocks[-1]
    async with local_server(clock, hello_interval_s=30) as server:
        bob = server.client("bob")
        watch = EventRecorder(bob, ConnectionLost, ConnectionRestored)
        async with server.client("alice") as alice, bob:
            loop = asyncio.get_running_loop()
            begun, wall = loop.time(), clock.now()
            await asyncio.sleep(SILENCE_S)
            passed = loop.time() - begun
            assert abs(clock.now() - wall - passed) < 5, "both clocks must advance together"
            await alice.c2c("bob").send("after a silence")
            await watch.wait_for_messages(1)
            return passed, len(watch.messages), list(watch.events)


_clocks: list[VirtualClock] = []


@pytest.mark.requirement("P10")
def test_minutes_on_a_virtual_clock_take_a_moment_and_heartbeats_keep_the_connection() -> None:
    _clocks.append(clock := VirtualClock())
    begun = time.perf_counter()
    passed, heard, lost = clock.run(heartbeats())
    took_s = time.perf_counter() - begun
    assert SILENCE_S <= passed < SILENCE_S + 60
    assert (heard, lost) == (1, [])
    print(f"{SILENCE_S} s in {took_s:.1f} s")
    assert took_s < SILENCE_S / 5


@pytest.mark.requirement("P10")
def test_an_idle_hour_on_a_virtual_clock_has_no_other_timers_than_those_of_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    timers = 0

    async def idle() -> None:
        nonlocal timers
        loop = asyncio.get_running_loop()
        call_at = loop.call_at

        def counted(*args: Any, **options: Any) -> asyncio.TimerHandle:
            nonlocal timers
            timers += 1
            return call_at(*args, **options)

        async with local_server(clock) as server, server.client("alice") as alice, server.client("bob") as bob:
            heard = EventRecorder(bob, ConnectionLost)
            monkeypatch.setattr(loop, "call_at", counted)
            await asyncio.sleep(HOUR_S)
            await alice.c2c("bob").send("an hour later")
            await heard.wait_for_message()
            assert heard.events == []

    clock = VirtualClock()
    clock.run(idle())
    assert timers < 10 * 2 * HOUR_S / 30  # each device sends a heartbeat every 30 s, with a few timers; others are rare


@pytest.mark.requirement("P10")
def test_a_machine_that_slept_reconnects() -> None:
    async def sleep() -> None:
        async with local_server(clock, hello_interval_s=60, idle_timeout_s=150) as server:
            await server.add_users("bob")
            alice = server.client("alice")
            watch = EventRecorder(alice, ConnectionLost, ConnectionRestored)
            async with alice:
                clock.advance(12 * HOUR_S)  # longer than the server's limits for a silent client
                await watch.wait_for_event(ConnectionLost)
                await watch.wait_for_event(ConnectionRestored)
                assert (await alice.c2c("bob").send("awake")).seq == 1

    clock = VirtualClock()
    clock.run(sleep())


async def test_a_virtual_clock_needs_its_own_loop() -> None:
    with pytest.raises(InvalidArgument, match=r"VirtualClock\(\)\.run"):
        async with local_server(VirtualClock()):
            pass


async def test_a_misspelled_fault_name_is_an_error(process: RunningServer) -> None:
    faults = process.faults
    wrong: Any = "upp"
    with pytest.raises(InvalidArgument, match="direction must be one of up, down, both, not 'upp'"):
        faults.cut(direction=wrong)
    with pytest.raises(InvalidArgument, match="after_frames"):
        faults.cut(after_frames=-1)
    with pytest.raises(InvalidArgument, match="times"):
        faults.drop(times=0)
    with pytest.raises(InvalidArgument, match="cutt"):
        async with faults.chaos(1, rate=0.1, kinds=("cutt",)):  # type: ignore[arg-type]
            pass
    with pytest.raises(InvalidArgument, match="probability"):
        async with faults.chaos(1, rate=15):
            pass
    wrong = "after-comit"
    with pytest.raises(InvalidArgument, match="there is no failpoint 'after-comit': did you mean 'after-commit'"):
        await process.restart(crash_at=wrong)
    await process.start()
    with pytest.raises(InvalidArgument, match="first time"):
        await process.start(crash_at="after-commit", count=0)
    with pytest.raises(InvalidArgument, match="did you mean 'max_message_bytes'"):
        async with running_server(max_mesage_bytes=1):
            pass
    with pytest.raises(InvalidArgument, match="there is no setting"):
        async with local_server(colour="blue"):
            pass


def test_the_listed_failpoints_are_those_the_server_reaches() -> None:
    sources = "".join(path.read_text() for path in (Path(c2c.__file__).parents[2]).rglob("*.py"))
    assert [name for name in FAILPOINTS if f'failpoint("{name}")' not in sources] == []

"""`async with conversation.typing()`: the peer sees the status while the block runs, and the block never suffers from it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from itertools import pairwise
from typing import TypeVar

import pytest

from timim import Client, ConnectionRestored, InvalidConversation, NotLoggedIn, TypingChanged
from timim.testing import EventRecorder, LocalServer, OfflineUser, VirtualClock, local_server, running_server

T = TypeVar("T")
DROPPED_AFTER_S = 5.0  # Tencent's kits show a status for this time
Test = Callable[[LocalServer, Client, Client, VirtualClock], Coroutine[object, object, T]]


def on_virtual_clock(test: Test[T]) -> T:
    """Run a test with a server and two users on a clock that does not wait."""
    clock = VirtualClock()

    async def run() -> T:
        async with local_server(clock) as server:
            await server.add_users("bob")
            async with server.client("alice", reconnect_limit=2) as alice, server.client("bob", reconnect_limit=2) as bob:
                return await test(server, alice, bob, clock)

    return clock.run(run())


def typing_tasks() -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks() if "typing" in task.get_name()]


def seen_by_the_peer() -> list[tuple[float, bool]]:
    """Return the time and the value of each status that a block of 30 s causes."""

    async def test(server: LocalServer, alice: Client, bob: Client, clock: VirtualClock) -> list[tuple[float, bool]]:
        seen: list[tuple[float, bool]] = []
        at_bob = EventRecorder(bob, TypingChanged)

        @bob.on(TypingChanged)
        def note(event: TypingChanged) -> None:
            seen.append((clock.monotonic(), event.active))

        async with alice.c2c("bob").typing():
            await asyncio.sleep(30)
        await at_bob.wait_for_event(TypingChanged, lambda event: not event.active)
        await alice.c2c("bob").send("written")
        await at_bob.wait_for_message()
        assert bob.c2c("alice").unread == 1  # the statuses are no messages
        return seen

    return on_virtual_clock(test)


def longest_pause_s(seen: list[tuple[float, bool]]) -> float:
    times = [time for time, _ in seen]
    return max(later - earlier for earlier, later in pairwise(times))


def test_the_peer_sees_the_status_without_a_gap_until_the_end_of_the_block() -> None:
    seen = seen_by_the_peer()
    assert [active for _, active in seen] == [True] * (len(seen) - 1) + [False]
    assert seen[-1][0] - seen[0][0] > 29
    assert longest_pause_s(seen) < DROPPED_AFTER_S


def test_the_gaps_of_a_status_that_is_repeated_too_late_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("timim.engine.typing_status.REPEAT_S", DROPPED_AFTER_S + 0.5)
    assert longest_pause_s(seen_by_the_peer()) > DROPPED_AFTER_S


@pytest.mark.parametrize("end", ["error", "cancellation"])
def test_an_error_and_a_cancellation_end_the_status_and_reach_the_caller_unchanged(end: str) -> None:
    async def test(server: LocalServer, alice: Client, bob: Client, clock: VirtualClock) -> None:
        at_bob, inside = EventRecorder(bob, TypingChanged), asyncio.Event()

        async def write() -> None:
            async with alice.c2c("bob").typing():
                await at_bob.wait_for_event(TypingChanged)
                inside.set()
                if end == "error":
                    raise ZeroDivisionError
                await asyncio.Event().wait()

        writing = asyncio.create_task(write())
        await inside.wait()
        if end == "cancellation":
            writing.cancel()
        with pytest.raises(ZeroDivisionError if end == "error" else asyncio.CancelledError):
            await writing
        await at_bob.wait_for_event(TypingChanged, lambda event: not event.active)
        await asyncio.sleep(DROPPED_AFTER_S)
        assert [event.active for event in at_bob.events if isinstance(event, TypingChanged)] == [True, False]
        assert typing_tasks() == []

    on_virtual_clock(test)


def test_a_lost_connection_does_not_reach_the_block_and_the_status_goes_on_after_it() -> None:
    async def test(server: LocalServer, alice: Client, bob: Client, clock: VirtualClock) -> None:
        at_alice, at_bob = EventRecorder(alice, ConnectionRestored), EventRecorder(bob, TypingChanged, ConnectionRestored)
        async with alice.c2c("bob").typing():
            await at_bob.wait_for_event(TypingChanged)
            await server.stop()
            await asyncio.sleep(10)
            await server.start()
            await at_alice.wait_for_event(ConnectionRestored)
            await at_bob.wait_for_event(ConnectionRestored)
            at_bob.events.clear()
            await at_bob.wait_for_event(TypingChanged, lambda event: event.active)
            await server.stop()
            await asyncio.sleep(10)
        assert typing_tasks() == []  # the end of a block without a connection waits for nothing
        async with alice.c2c("bob").typing():
            pass

    on_virtual_clock(test)


def test_a_server_that_does_not_answer_delays_neither_the_begin_nor_the_end_of_the_block() -> None:
    async def test(server: LocalServer, alice: Client, bob: Client, clock: VirtualClock) -> None:
        fault = server.faults.stall(user="alice")
        begun = clock.monotonic()
        async with alice.c2c("bob").typing():
            pass
        assert clock.monotonic() - begun < 1
        fault.release()

    on_virtual_clock(test)


def test_a_logout_and_a_login_within_the_block_do_not_end_the_status() -> None:
    async def test(server: LocalServer, alice: Client, bob: Client, clock: VirtualClock) -> None:
        at_bob = EventRecorder(bob, TypingChanged)
        async with alice.c2c("bob").typing():
            await at_bob.wait_for_event(TypingChanged)
            await alice.logout()
            at_bob.events.clear()
            await asyncio.sleep(10)
            await alice.login()
            await at_bob.wait_for_event(TypingChanged, lambda event: event.active)

    on_virtual_clock(test)


class Logged(logging.Handler):
    """The lines of a logger, and an event that is set by the first one."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []
        self.first = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        self.first.set()


async def test_a_refused_status_is_logged_once_and_not_sent_again() -> None:
    logged, log = Logged(), logging.getLogger("timim.engine.typing_status")
    log.addHandler(logged)
    try:
        async with running_server() as server:
            await server.add_users("bob")
            async with server.client("alice") as alice, server.client("bob") as bob:
                await bob.friends.block("alice")
                async with alice.c2c("bob").typing():
                    await logged.first.wait()
    finally:
        log.removeHandler(logged)
    assert len(logged.lines) == 1
    assert logged.lines[0].startswith("the typing status for c2c:bob is not sent any more: ")


async def test_a_group_has_no_typing_status_and_a_closed_client_is_refused() -> None:
    async with running_server() as server, server.client("alice") as alice:
        with pytest.raises(InvalidConversation, match="the typing status goes to one user; this is group:team"):
            await alice.group("team").send_typing()
        runs = 0
        for conversation in (alice.group("team"), alice.system()):
            async with conversation.typing():
                runs += 1
                assert not typing_tasks()
        assert runs == 2
    for conversation in (alice.c2c("bob"), alice.group("team")):
        with pytest.raises(NotLoggedIn):
            async with conversation.typing():
                raise AssertionError


async def test_a_handler_that_types_runs_without_a_server() -> None:
    alice = OfflineUser("alice")
    message = alice.message("hello")
    async with message.conversation.typing():
        await message.reply("hi")
    assert alice.texts == ["hi"]
    member = OfflineUser("alice", group_id="team")
    message = member.message("hello")
    async with message.conversation.typing():
        await message.reply("hi")
    assert member.texts == ["hi"]

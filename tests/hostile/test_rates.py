"""Tests of the rate limits of users: refusals, the pace of a client, and the shares of users who send at the same time."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.raw_session import RawSession, raw_session
from timim import Message, MessageFailed, RateLimited, RateLimitReached
from timim.engine import outbox
from timim.protocol.codec import Body, Reply
from timim.protocol.session import RESUME_SENDS
from timim.server.endpoints import websocket
from timim.testing import EventRecorder, RunningServer, local_server, running_server

LIMIT_S = 30
MUTANT = ("-m", "tests.mutants.no_rates")
SMALL: dict[str, Any] = {"user_requests_per_s": 50, "user_burst_s": 0.5, "stranger_messages_per_min": 0}
Check = Callable[[RunningServer], Awaitable[None]]


@asynccontextmanager
async def program_of(program: tuple[str, ...], folder: Path, settings: Mapping[str, object]) -> AsyncIterator[RunningServer]:
    """Run a server of this program."""
    server = RunningServer(folder, settings)
    if program:
        server.program = program
    await server.start()
    try:
        await server.add_users("bob", "carol", "sink", "quiet")
        yield server
    finally:
        await server.faults.stop()
        await server.stop()


def texts(messages: list[Message]) -> list[str]:
    return [message.text for message in messages]


def codes(replies: list[Reply]) -> list[int]:
    return [reply.error_code for reply in replies]


async def check_requests(server: RunningServer) -> None:
    """Check that requests over the rate are refused with a time, at which the next one is accepted; others are not refused."""
    async with raw_session(server) as flood, raw_session(server) as quiet:
        await flood.login_as_timim("mallory")
        await quiet.login("quiet")
        sent = []
        for _ in range(12):
            sent += flood.send_at_once("sink", 5)
            await asyncio.sleep(0)  # each five are a websocket message of their own
        replies = await asyncio.gather(*sent)
        accepted = codes(replies).index(60007)
        assert accepted <= 40
        assert set(codes(replies[accepted:])) == {60007}  # none of the later messages overtakes a refused one
        wait_s = replies[accepted].retry_after
        assert isinstance(wait_s, float)
        assert 0 < wait_s <= 1
        await quiet.send("bob")
        async with raw_session(server) as second:  # another session of the same user has the same bucket
            await second.login("mallory")
            with pytest.raises(RateLimited):
                await second.send("sink")
            await asyncio.sleep(wait_s)
            await second.send("sink")


async def check_bytes(server: RunningServer) -> None:
    """Check that bytes over the rate are refused."""
    async with raw_session(server) as flood:
        await flood.login_as_timim("trudy")
        replies = [await flood.send_at_once("sink", 1, size=10_000)[0] for _ in range(20)]
        assert set(codes(replies)) == {0, 60007}
        assert codes(replies).count(0) <= 12


async def check_strangers(server: RunningServer) -> None:
    """Check that messages to users who did not answer are limited, and others are not, also after a restart."""
    peers = [f"peer-{n}" for n in range(4)]
    await server.add_users(*peers)
    async with raw_session(server) as spam, raw_session(server) as peer:
        await spam.login("spam")
        await peer.login("peer-3")
        await peer.send("spam")
        for to in peers[:3]:
            await spam.send(to)
        with pytest.raises(RateLimited) as refused:
            await spam.send(peers[0])
        assert refused.value.code == 60007
        assert refused.value.retry_after
        await spam.send("peer-3")
    await server.restart()
    async with raw_session(server) as spam:
        await spam.login("spam")
        for to in peers[:3]:
            await spam.send(to)
        with pytest.raises(RateLimited):
            await spam.send(peers[0])
        await spam.send("peer-3")  # the store knows that this user has written


FLOOD = 1600  # messages: many more than the server acknowledges while this process turns from one user to the other


async def check_shares(server: RunningServer) -> None:
    """Check that a message is acknowledged long before those that another user sent at once."""
    async with raw_session(server) as flood, raw_session(server) as quiet:
        await flood.login_as_timim("mallory")
        await quiet.login("quiet")
        before = []
        for _ in range(5):
            await quiet.send("bob")
            replies = flood.send_at_once("sink", FLOOD, size=500)
            await asyncio.wait(replies, return_when=asyncio.FIRST_COMPLETED)  # the server has begun with the flood
            early = sum(reply.done() for reply in replies)
            await quiet.send("bob")
            before.append(sum(reply.done() for reply in replies) - early)
            await asyncio.gather(*replies)
        print(f"acks of the flood before that of the other user: {before}")
        assert statistics.median(before) < 100, before


CHECKS: dict[Check, dict[str, Any]] = {
    check_requests: SMALL,
    check_bytes: {"user_bytes_per_s": 60_000, "user_burst_s": 1, "stranger_messages_per_min": 0},
    check_strangers: {"stranger_messages_per_min": 1, "stranger_burst": 3},
    check_shares: {"requests_in_flight_shared": 8},
}


@pytest.mark.requirement("H30", "R17")
@pytest.mark.parametrize("check", CHECKS)
async def test_the_rates_of_a_user_are_bounded(check: Check, tmp_path: Path) -> None:
    async with program_of((), tmp_path, CHECKS[check]) as server:
        await check(server)


@pytest.mark.requirement("H30", "R17")
@pytest.mark.parametrize("check", CHECKS)
async def test_a_server_without_rate_limits_is_detected(check: Check, tmp_path: Path) -> None:
    async with program_of(MUTANT, tmp_path, CHECKS[check]) as server:
        with pytest.raises((AssertionError, ValueError, pytest.fail.Exception)):
            await check(server)


async def test_the_administrator_has_no_rate_limit(tmp_path: Path) -> None:
    async with program_of((), tmp_path, {**SMALL, "stranger_messages_per_min": 1, "stranger_burst": 1}) as server:
        async with raw_session(server) as admin:
            await admin.login_as_timim("administrator")
            assert set(codes(await asyncio.gather(*admin.send_at_once("bob", 100)))) == {0}


@pytest.mark.requirement("H30", "R17")
async def test_a_client_paces_itself_and_keeps_its_order() -> None:
    """Test that the messages of two conversations, and requests, go on after refusals: none lost, repeated or reordered."""
    async with (
        running_server(**SMALL) as server,
        server.client("bob") as bob,
        server.client("carol") as carol,
        server.client("alice") as alice,
    ):
        heard = {"bob": EventRecorder(bob), "carol": EventRecorder(carol)}
        paced = EventRecorder(alice, RateLimitReached)
        async with asyncio.timeout(LIMIT_S):
            sends = [alice.c2c(peer).send(f"{n}") for n in range(60) for peer in heard]
            await asyncio.gather(*sends, *(alice.friends.list() for _ in range(10)))
            for recorder in heard.values():
                await recorder.wait_for_messages(60)
        for recorder in heard.values():
            assert texts(recorder.messages) == [f"{n}" for n in range(60)]
        assert paced.events
        assert all(isinstance(event, RateLimitReached) and event.retry_after_s > 0 for event in paced.events)
        assert len(paced.events) < 20  # one for each pause, not for each message


@pytest.mark.requirement("H30")
async def test_a_client_that_does_not_pace_itself_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "is_rate_limit", lambda error: False)
    async with running_server(**SMALL) as server, server.client("bob"), server.client("alice") as alice:
        failed = EventRecorder(alice, MessageFailed)
        sends = [alice.c2c("bob").send(f"{n}") for n in range(300)]
        assert any(isinstance(result, RateLimited) for result in await asyncio.gather(*sends, return_exceptions=True))
        await failed.wait_for_event(MessageFailed)


@pytest.mark.requirement("H30", "R3")
async def test_cuts_during_a_pause_lose_and_repeat_nothing(tmp_path: Path) -> None:
    async with (
        running_server(**SMALL) as server,
        server.client("bob") as bob,
        server.client("alice", data_dir=tmp_path, reconnect_limit=0.2) as alice,
    ):
        heard, paced = EventRecorder(bob), EventRecorder(alice, RateLimitReached)
        async with asyncio.timeout(LIMIT_S):
            sends = asyncio.gather(*(alice.c2c("bob").send(f"{n}") for n in range(80)))
            for _ in range(2):
                await paced.wait_for_event(RateLimitReached)
                paced.events.clear()
                alice.engine.connection.cut()
            await sends
            await heard.wait_for_messages(80)
        assert texts(heard.messages) == [f"{n}" for n in range(80)]


async def _check_order_after_a_refusal() -> None:
    """Check that no message of a timim client is accepted after a refused one until the client begins again."""
    async with local_server(**SMALL) as server:
        await server.add_users("bob")
        async with raw_session(server) as session:
            await session.login_as_timim("mallory")
            replies: list[Reply] = []
            while not replies or replies[-1].error_code == 0:
                replies += [await reply for reply in session.send_at_once("bob", 5)]
            wait_s = replies[-1].retry_after
            assert isinstance(wait_s, float)
            await asyncio.sleep(wait_s + 0.05)
            with pytest.raises(RateLimited, match="resume_sends"):
                await session.send("bob")
            await session.call(RESUME_SENDS, Body())
            await session.send("bob")


@pytest.mark.requirement("H30")
async def test_no_message_overtakes_a_refused_one() -> None:
    await _check_order_after_a_refusal()


@pytest.mark.requirement("H30")
async def test_a_server_that_lets_messages_overtake_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "SENDS", frozenset())
    with pytest.raises(pytest.fail.Exception):
        await _check_order_after_a_refusal()


@pytest.mark.requirement("H30")
async def test_messages_to_strangers_wait_and_fail_not() -> None:
    async with running_server(stranger_messages_per_min=120, stranger_burst=2) as server:
        peers = [f"peer-{n}" for n in range(4)]
        await server.add_users(*peers)
        async with server.client("peer-3") as answered, server.client("alice") as alice:
            await answered.c2c("alice").send("hello")
            paced = EventRecorder(alice, RateLimitReached)
            async with asyncio.timeout(LIMIT_S):
                sent = await asyncio.gather(*(alice.c2c(to).send("hello") for to in peers))
            assert all(message.seq for message in sent)
            assert paced.events


@pytest.mark.soak
@pytest.mark.requirement("H30", "R17")
async def test_a_flood_leaves_the_acks_of_others_below_twice_their_quiet_time(tmp_path: Path) -> None:
    """Compare the 99th percentile of acks, on a server with its default limits. It needs a quiet machine."""
    defaults = {
        "requests_in_flight_shared": 8,
        "user_requests_per_s": 200,
        "user_bytes_per_s": 1 << 20,
        "stranger_messages_per_min": 0,
    }
    async with program_of((), tmp_path, defaults) as server, raw_session(server) as quiet:
        await quiet.login("quiet")
        await _acks(quiet, 100)
        alone = await _acks(quiet, 500)
        identity = (server.url, str(server.app_id), server.secret_key, "mallory", "sink")
        flooder = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.support.flooder", *identity)
        try:
            await _acks(quiet, 100)  # while the flooder starts
            beside = await _acks(quiet, 500)
            assert flooder.returncode is None
        finally:
            flooder.kill()
            await flooder.wait()
        print(f"p99 of acks: {alone * 1000:.1f} ms alone, {beside * 1000:.1f} ms beside a flood")
        assert beside < 2 * alone


async def _acks(session: RawSession, count: int) -> float:
    """Return the 99th percentile of the times of acks."""
    took = []
    for _ in range(count):
        begun = time.perf_counter()
        await session.send("bob")
        took.append(time.perf_counter() - begun)
        await asyncio.sleep(0.01)
    return statistics.quantiles(took, n=100)[98]

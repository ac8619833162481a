"""Many idle sessions take little memory, a hot group reaches all of its members, and a stop under load loses nothing acked.

Each check also runs on a server without the mechanism, and has to fail there. `make soak` has the numbers of a real server.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.support.hostile_peer import CLOSE, FINAL, Peer, memory, peers
from tests.support.program_server import server_of
from tests.support.raw_session import RawSession, raw_session
from timim import TimimError
from timim.server.sessions.session import STOPPING
from timim.testing import RunningServer

IDLE, MEMBERS, MESSAGES = 150, 60, 10
IDLE_LIMIT_BYTES = 60 * 1024  # 40 KiB with thousands of sessions (`make bench-load`); with few, the noise counts
ACK_LIMIT_S = 1.0
WAIT_S = 30.0
IN_FLIGHT, SENDERS, WAVES_BEFORE_STOP = 20, 3, 3
STOP_LIMIT_S = 10.0
CLOSE_S = 1.0
Check = Callable[[RunningServer, int], Awaitable[None]]


async def check_idle(server: RunningServer, scale: int) -> None:
    """Check that an idle session takes little memory."""
    count = IDLE * scale
    async with peers(server, 20) as first:  # which grow the server's own tables
        await log_in(server, first, "first")
        before = memory(server)
        async with peers(server, count) as idle:
            await log_in(server, idle, "idle")
            each = (memory(server) - before) / count
            print(f"{count} idle sessions: {each / 1024:.1f} KiB each")
            assert each < IDLE_LIMIT_BYTES


async def log_in(server: RunningServer, connections: list[Peer], name: str) -> None:
    for first in range(0, len(connections), 20):
        together = enumerate(connections[first : first + 20], first)
        await asyncio.gather(*(peer.login(server, f"{name}-{number}") for number, peer in together))


async def check_hot_group(server: RunningServer, scale: int) -> None:
    """Check that each member gets each message of a group once and in order, and that another's acks come soon meanwhile."""
    count = MEMBERS * scale
    names = [f"member-{number}" for number in range(count)]
    async with peers(server, count) as members, server.client("alice") as alice, server.client("quiet") as quiet:
        await log_in(server, members, "member")
        group = await alice.groups.create("Public", name="hot", members=names[:50])
        for begin in range(50, count, 50):
            await group.invite(*names[begin : begin + 50])
        hears = [asyncio.create_task(hear(peer)) for peer in members]
        slowest = 0.0
        for number in range(MESSAGES):
            sending = asyncio.ensure_future(group.conversation.send(f"<hot {number}>"))
            begun = time.perf_counter()
            await quiet.c2c("alice").send("still quick")
            slowest = max(slowest, time.perf_counter() - begun)
            await sending
        for name in names:
            await quiet.c2c(name).send("<the end>")
        heard = await asyncio.gather(*hears)
        assert heard == [list(range(MESSAGES))] * count
        assert slowest < ACK_LIMIT_S


async def hear(peer: Peer) -> list[int]:
    """Return the numbers of the hot messages that a member has received when one to this member alone is there."""
    received = b""
    try:
        async with asyncio.timeout(WAIT_S):
            while b"<the end>" not in received:
                more = await peer.receive()
                if not more:
                    break
                received += more
    except TimeoutError:
        pass
    return [int(part.partition(b">")[0]) for part in received.split(b"<hot ")[1:]]


async def send_waves(session: RawSession, name: str, sent: asyncio.Event) -> list[str]:
    """Send IN_FLIGHT messages at once, again and again until none is acked, and return the texts that were."""
    acked: list[str] = []
    wave = 0
    while True:
        texts = [f"{name}.{wave}.{number}" for number in range(IN_FLIGHT)]
        results = await asyncio.gather(*(session.send("sink", text) for text in texts), return_exceptions=True)
        assert [result for result in results if isinstance(result, BaseException) and not isinstance(result, TimimError)] == []
        done = [text for text, result in zip(texts, results, strict=True) if not isinstance(result, BaseException)]
        if not done:
            return acked
        acked += done
        wave += 1
        if wave == WAVES_BEFORE_STOP:
            sent.set()


async def check_stop(server: RunningServer, scale: int) -> None:
    """Check that a server under load that is stopped closes its sessions with 1012, ends soon, and has all that it acked."""
    for number in range(scale):
        names = [f"sender-{number}-{n}" for n in range(SENDERS)]
        async with AsyncExitStack() as stack:
            sessions = [await stack.enter_async_context(raw_session(server)) for _ in names]
            for session, name in zip(sessions, names, strict=True):
                await session.login(name)
            ready = [asyncio.Event() for _ in names]
            sending = [
                asyncio.create_task(send_waves(session, name, event))
                for session, name, event in zip(sessions, names, ready, strict=True)
            ]
            async with asyncio.timeout(WAIT_S):
                await asyncio.gather(*(event.wait() for event in ready))
                begun = time.perf_counter()
                await server.stop()
                took_s = time.perf_counter() - begun
                acked = await asyncio.gather(*sending)
                codes = [(await session.closed_with())[0] for session in sessions]
        await server.start()
        async with server.client("sink") as sink:
            for name, texts in zip(names, acked, strict=True):
                stored = {message.text async for message in sink.c2c(name).history()}
                assert set(texts) <= stored, f"{len(set(texts) - stored)} acked messages of {name} are lost"
        assert codes == [1012] * SENDERS
        assert took_s < STOP_LIMIT_S


async def check_close(server: RunningServer, scale: int) -> None:
    """Check that a server that stops waits for the answers to its closes: a socket with unread bytes would be reset."""
    async with peers(server, scale) as silent:
        await log_in(server, silent, "silent")
        begun = time.perf_counter()
        stopping = asyncio.create_task(server.stop())
        async with asyncio.timeout(WAIT_S):
            for peer in silent:
                received = b""
                while more := await peer.receive():
                    received += more
                code, reason = received[2:4], received[4:].decode()
                assert (received[0], int.from_bytes(code), reason) == (FINAL | CLOSE, 1012, STOPPING)
            waited_s = time.perf_counter() - begun
            await stopping
        await server.start()
        assert waited_s >= CLOSE_S


CHECKS: list[tuple[Check, str, pytest.MarkDecorator]] = [
    (check_idle, "keeps_and_drops", pytest.mark.requirement("H31")),
    (check_hot_group, "keeps_and_drops", pytest.mark.requirement("H31")),
    (check_stop, "stops_at_once", pytest.mark.requirement("H32")),
    (check_close, "cuts_at_stop", pytest.mark.requirement("H32")),
]
SETTINGS: dict[str, object] = {
    "close_s": CLOSE_S,
    "user_requests_per_s": 0,
    "user_bytes_per_s": 0,
    "stranger_messages_per_min": 0,
    "group_messages_per_s": 0,
}


@pytest.mark.parametrize("check", [pytest.param(check, marks=mark) for check, _, mark in CHECKS])
async def test_a_server_holds_its_load(check: Check, tmp_path: Path) -> None:
    async with server_of((), tmp_path, settings=SETTINGS, users=("sink",)) as server:
        await check(server, 1)


@pytest.mark.parametrize("check, mutant", [pytest.param(check, mutant, marks=mark) for check, mutant, mark in CHECKS])
async def test_a_server_that_does_not_hold_its_load_is_detected(check: Check, mutant: str, tmp_path: Path) -> None:
    async with server_of(("-m", f"tests.mutants.{mutant}"), tmp_path, settings=SETTINGS, users=("sink",)) as server:
        with pytest.raises(AssertionError):
            await check(server, 1)


@pytest.mark.soak
@pytest.mark.parametrize("check", [pytest.param(check, marks=mark) for check, _, mark in CHECKS])
async def test_a_server_holds_the_load_of_many(check: Check, tmp_path: Path) -> None:
    async with server_of((), tmp_path, settings=SETTINGS, users=("sink",)) as server:
        await check(server, 10)

"""A run, from its first login to its report. Workers are processes; when this one ends, however it does, they end too."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from typing import TypeVar

from ..errors import TimimError
from .latency import LatencyHistogram
from .report import Percentiles, Report, Storm
from .scenario import (
    AwaitDeliveries,
    Command,
    CommandDone,
    CommandFailed,
    CreateGroups,
    CutConnections,
    DeliveryResult,
    GreetingsReceived,
    JoinGroups,
    LoggedIn,
    Reconnected,
    Reply,
    Scenario,
    SendGreetings,
    SendingResult,
    StartSending,
    StopSending,
    decode_reply,
    encode,
)

PROGRAM: Sequence[str] = ("-m", "timim.loadtest.worker")
REPLY_LIMIT_BYTES = 64 * 1024 * 1024
LOGOUT_LIMIT_S = 30.0  # all clients of a worker log out within it, or are ended
MAX_GREETINGS = 15  # one every two seconds
SETTLE_INTERRUPTED_S = 3.0  # somebody waits at the keyboard
A = TypeVar("A", CommandDone, LoggedIn, GreetingsReceived, Reconnected, SendingResult, DeliveryResult)


class LoadTestFailed(TimimError):
    """A run that could not go on."""


class WorkerProcess:
    """One process of clients."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log

    async def request(self, order: Command, kind: type[A]) -> A:
        """Give an order, and wait for its answer. Raises LoadFailed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(encode(order) + b"\n")
            await self._process.stdin.drain()
            line = await self._process.stdout.readline()
        except ConnectionError:
            line = b""
        if not line:
            said = await asyncio.to_thread(self._log.read_text, errors="replace")
            raise LoadTestFailed(f"a process of clients ended: {said.strip()[-1000:] or 'it said nothing'}")
        given: Reply = decode_reply(line)
        if isinstance(given, CommandFailed):
            raise LoadTestFailed(given.why)
        assert isinstance(given, kind)
        return given

    async def close(self) -> None:
        """Its clients log out."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(LOGOUT_LIMIT_S):
                await self._process.wait()
        finally:
            if self._process.returncode is None:
                self._process.kill()
                await self._process.wait()


@asynccontextmanager
async def worker_processes(plan: Scenario) -> AsyncIterator[list[WorkerProcess]]:
    """All workers of a plan, all logged out and gone at the end."""
    workers: list[WorkerProcess] = []
    try:
        for number in range(plan.processes):
            log = Path(plan.folder) / f"log-{number}"
            with await asyncio.to_thread(log.open, "wb") as out:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *PROGRAM,
                    str(number),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=out,
                    limit=REPLY_LIMIT_BYTES,
                    start_new_session=True,  # a Ctrl-C is for the conductor
                )
            workers.append(WorkerProcess(process, log))
        yield workers
    finally:
        await asyncio.gather(*(worker.close() for worker in workers), return_exceptions=True)


async def run_scenario(
    plan: Scenario,
    *,
    interrupted: asyncio.Event,
    on_progress: Callable[[str], None] = lambda text: None,
    under_load: AbstractContextManager[object] | None = None,
) -> Report:
    """Carry a plan out. When `interrupted` is set, sending ends, and what was measured by then is reported.

    `under_load` is entered when all are logged in, and left when the last message was delivered.

    Raises InvalidArgument for a plan that cannot be, LoadFailed when it cannot go on.
    """
    plan.validate()
    with tempfile.TemporaryDirectory(prefix="timim-load-", ignore_cleanup_errors=True) as folder:
        plan.folder = folder
        async with worker_processes(plan) as workers:
            return await _conduct(plan, workers, interrupted, on_progress, under_load or nullcontext())


async def _conduct(
    plan: Scenario,
    workers: list[WorkerProcess],
    interrupted: asyncio.Event,
    told: Callable[[str], None],
    under_load: AbstractContextManager[object],
) -> Report:
    async def ask(order: Command, kind: type[A]) -> list[A]:
        return await asyncio.gather(*(worker.request(order, kind) for worker in workers))

    async def storm(cut: int) -> Storm:
        begun = time.monotonic()
        backs = await ask(CutConnections(cut), Reconnected)
        took_s, back = time.monotonic() - begun, sum(each.back for each in backs)
        told(f"{back:,} of {cut:,} that were cut are back after {took_s:.1f} s")
        return Storm(cut, back, round(took_s, 2), Percentiles.from_histogram(_merged(each.times for each in backs)))

    begun = time.monotonic()
    logins = _merged(entered.logins for entered in await ask(plan, LoggedIn))
    logins_s = time.monotonic() - begun
    told(f"{plan.users:,} users are logged in after {logins_s:.1f} s")
    if plan.groups:
        await ask(CreateGroups(), CommandDone)
        await ask(JoinGroups(), CommandDone)
        missing, greetings = 1, 0
        while missing:
            if greetings == MAX_GREETINGS:
                raise LoadTestFailed(f"{missing} members of groups did not hear the owner")
            missing = sum(each.missing for each in await ask(SendGreetings(), GreetingsReceived))
            greetings += 1
        told(f"{plan.groups:,} groups of {plan.members:,} are made")
    storms: list[Storm] = []
    with under_load:
        await ask(StartSending(), CommandDone)
        for cut in plan.storms:
            if await _set_within(interrupted, plan.seconds / (len(plan.storms) + 1)):
                break
            storms.append(await storm(cut))
        await _set_within(interrupted, plan.seconds / (len(plan.storms) + 1))
        ended = await ask(StopSending(), SendingResult)
        told("waiting for what is on its way")
        sent = {line: of for each in ended for line, of in each.sent.items()}
        settled = await ask(
            AwaitDeliveries(sent, SETTLE_INTERRUPTED_S if interrupted.is_set() else plan.settle_s), DeliveryResult
        )
    acks = _merged(each.acks for each in ended)
    seconds, heard_s = max(each.seconds for each in ended), max(each.seconds for each in settled)
    delivered = sum(each.delivered for each in settled)
    return Report(
        users=plan.users,
        groups=plan.groups,
        urls=len(plan.urls),
        processes=plan.processes,
        interrupted=interrupted.is_set(),
        logins_s=round(logins_s, 2),
        logins_each_ms=Percentiles.from_histogram(logins),
        seconds=round(seconds, 2),
        sent=len(acks),
        sent_per_s=round(len(acks) / seconds, 1) if seconds else 0.0,
        delivered=delivered,
        delivered_per_s=round(delivered / heard_s, 1) if heard_s else 0.0,
        ack_ms=Percentiles.from_histogram(acks),
        delivery_ms=Percentiles.from_histogram(_merged(each.deliveries for each in settled)),
        refused=dict(sum((Counter(each.refused) for each in ended), Counter())),
        lost=sum(each.lost for each in settled),
        lost_examples=[example for each in settled for example in each.examples],
        repeated=sum(each.repeated for each in settled),
        disordered=sum(each.disordered for each in settled),
        storms=storms,
        busy=round(max(each.busy for each in ended), 2),
    )


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


def _merged(all_counts: Iterable[Mapping[int, int]]) -> LatencyHistogram:
    merged = LatencyHistogram()
    for counts in all_counts:
        merged.merge(counts)
    return merged

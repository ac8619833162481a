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
from .latency import Latencies
from .report import Report, Storm, Times
from .scenario import (
    Answer,
    Back,
    Begin,
    Cut,
    Done,
    End,
    Ended,
    Entered,
    Failed,
    Greet,
    Greeted,
    JoinGroups,
    MakeGroups,
    Order,
    Plan,
    Settle,
    Settled,
    answer,
    encode,
)

PROGRAM: Sequence[str] = ("-m", "timim.loadtest.worker")
ANSWER_LIMIT_BYTES = 64 * 1024 * 1024
LEAVE_S = 30.0  # all clients of a worker log out within it, or are ended
GREETINGS = 15  # one every two seconds
SETTLE_INTERRUPTED_S = 3.0  # somebody waits at the keyboard
A = TypeVar("A", Done, Entered, Greeted, Back, Ended, Settled)


class LoadFailed(TimimError):
    """A run that could not go on."""


class Worker:
    """One process of clients."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log

    async def ask(self, order: Order, kind: type[A]) -> A:
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
            raise LoadFailed(f"a process of clients ended: {said.strip()[-1000:] or 'it said nothing'}")
        given: Answer = answer(line)
        if isinstance(given, Failed):
            raise LoadFailed(given.why)
        assert isinstance(given, kind)
        return given

    async def end(self) -> None:
        """Its clients log out."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(LEAVE_S):
                await self._process.wait()
        finally:
            if self._process.returncode is None:
                self._process.kill()
                await self._process.wait()


@asynccontextmanager
async def working(plan: Plan) -> AsyncIterator[list[Worker]]:
    """All workers of a plan, all logged out and gone at the end."""
    workers: list[Worker] = []
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
                    limit=ANSWER_LIMIT_BYTES,
                    start_new_session=True,  # a Ctrl-C is for the conductor
                )
            workers.append(Worker(process, log))
        yield workers
    finally:
        await asyncio.gather(*(worker.end() for worker in workers), return_exceptions=True)


async def run(
    plan: Plan,
    *,
    interrupted: asyncio.Event,
    told: Callable[[str], None] = lambda text: None,
    under_load: AbstractContextManager[object] | None = None,
) -> Report:
    """Carry a plan out. When `interrupted` is set, sending ends, and what was measured by then is reported.

    `under_load` is entered when all are logged in, and left when the last message was delivered.

    Raises InvalidArgument for a plan that cannot be, LoadFailed when it cannot go on.
    """
    plan.check()
    with tempfile.TemporaryDirectory(prefix="timim-load-", ignore_cleanup_errors=True) as folder:
        plan.folder = folder
        async with working(plan) as workers:
            return await _conduct(plan, workers, interrupted, told, under_load or nullcontext())


async def _conduct(
    plan: Plan,
    workers: list[Worker],
    interrupted: asyncio.Event,
    told: Callable[[str], None],
    under_load: AbstractContextManager[object],
) -> Report:
    async def ask(order: Order, kind: type[A]) -> list[A]:
        return await asyncio.gather(*(worker.ask(order, kind) for worker in workers))

    async def storm(cut: int) -> Storm:
        begun = time.monotonic()
        backs = await ask(Cut(cut), Back)
        took_s, back = time.monotonic() - begun, sum(each.back for each in backs)
        told(f"{back:,} of {cut:,} that were cut are back after {took_s:.1f} s")
        return Storm(cut, back, round(took_s, 2), Times.of(_merged(each.times for each in backs)))

    begun = time.monotonic()
    logins = _merged(entered.logins for entered in await ask(plan, Entered))
    logins_s = time.monotonic() - begun
    told(f"{plan.users:,} users are logged in after {logins_s:.1f} s")
    if plan.groups:
        await ask(MakeGroups(), Done)
        await ask(JoinGroups(), Done)
        missing, greetings = 1, 0
        while missing:
            if greetings == GREETINGS:
                raise LoadFailed(f"{missing} members of groups did not hear the owner")
            missing = sum(each.missing for each in await ask(Greet(), Greeted))
            greetings += 1
        told(f"{plan.groups:,} groups of {plan.members:,} are made")
    storms: list[Storm] = []
    with under_load:
        await ask(Begin(), Done)
        for cut in plan.storms:
            if await _set_within(interrupted, plan.seconds / (len(plan.storms) + 1)):
                break
            storms.append(await storm(cut))
        await _set_within(interrupted, plan.seconds / (len(plan.storms) + 1))
        ended = await ask(End(), Ended)
        told("waiting for what is on its way")
        sent = {line: of for each in ended for line, of in each.sent.items()}
        settled = await ask(Settle(sent, SETTLE_INTERRUPTED_S if interrupted.is_set() else plan.settle_s), Settled)
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
        logins_each_ms=Times.of(logins),
        seconds=round(seconds, 2),
        sent=len(acks),
        sent_per_s=round(len(acks) / seconds, 1) if seconds else 0.0,
        delivered=delivered,
        delivered_per_s=round(delivered / heard_s, 1) if heard_s else 0.0,
        ack_ms=Times.of(acks),
        delivery_ms=Times.of(_merged(each.deliveries for each in settled)),
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


def _merged(all_counts: Iterable[Mapping[int, int]]) -> Latencies:
    merged = Latencies()
    for counts in all_counts:
        merged.merge(counts)
    return merged

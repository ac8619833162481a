"""Coordinator of a load test, from the first login to the report.

Workers are processes. They end when the coordinator ends, even if it is killed.
"""

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

from timim import TimimError

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
LOGOUT_LIMIT_S = 30.0  # all clients of a worker log out within this time, or the process is killed
MAX_GREETINGS = 15  # one every two seconds
SETTLE_INTERRUPTED_S = 3.0  # short, because a user waits after Ctrl-C
R = TypeVar("R", CommandDone, LoggedIn, GreetingsReceived, Reconnected, SendingResult, DeliveryResult)


class LoadTestFailed(TimimError):
    """The load test cannot continue, because a worker process failed."""


class WorkerProcess:
    """Handle of one process of clients."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log

    async def request(self, command: Command, reply_type: type[R]) -> R:
        """Send a command to the process, and return its reply.

        Raises:
            LoadTestFailed: The process has ended, or could not execute the command.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(encode(command) + b"\n")
            await self._process.stdin.drain()
            line = await self._process.stdout.readline()
        except ConnectionError:
            line = b""
        if not line:
            output = await asyncio.to_thread(self._log.read_text, errors="replace")
            raise LoadTestFailed(f"a worker process ended: {output.strip()[-1000:] or 'it has written no output'}")
        reply: Reply = decode_reply(line)
        if isinstance(reply, CommandFailed):
            raise LoadTestFailed(reply.reason)
        assert isinstance(reply, reply_type)
        return reply

    async def close(self) -> None:
        """Log the clients out and wait until the process has ended; kill the process after LOGOUT_LIMIT_S."""
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
async def worker_processes(scenario: Scenario) -> AsyncIterator[list[WorkerProcess]]:
    """Start all worker processes of a scenario, and end them when the block is left."""
    workers: list[WorkerProcess] = []
    try:
        for number in range(scenario.processes):
            log = Path(scenario.folder) / f"log-{number}"
            with await asyncio.to_thread(log.open, "wb") as out:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *PROGRAM,
                    str(number),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=out,
                    limit=REPLY_LIMIT_BYTES,
                    start_new_session=True,  # Ctrl-C is for the coordinator
                )
            workers.append(WorkerProcess(process, log))
        yield workers
    finally:
        await asyncio.gather(*(worker.close() for worker in workers), return_exceptions=True)


async def run_scenario(
    scenario: Scenario,
    *,
    interrupted: asyncio.Event,
    on_progress: Callable[[str], None] = lambda text: None,
    under_load: AbstractContextManager[object] | None = None,
) -> Report:
    """Run a scenario from the first login to the report.

    Args:
        scenario: The load; its `folder` is set to a temporary one.
        interrupted: When set, sending ends early, and the report covers the shorter run.
        on_progress: Called with a line of text after each phase.
        under_load: Entered when all users are logged in, and left when the last message was delivered.

    Raises:
        InvalidArgument: A parameter of the scenario is out of its range; the error names the parameter.
        LoadTestFailed: A worker process failed.
    """
    scenario.validate()
    with tempfile.TemporaryDirectory(prefix="timim-load-", ignore_cleanup_errors=True) as folder:
        scenario.folder = folder
        async with worker_processes(scenario) as workers:
            begun = time.monotonic()
            logins = _merged(each.logins for each in await _request_all(workers, scenario, LoggedIn))
            logins_s = time.monotonic() - begun
            on_progress(f"{scenario.users:,} users are logged in after {logins_s:.1f} s")
            if scenario.groups:
                await _create_groups(workers)
                on_progress(f"{scenario.groups:,} groups of {scenario.members:,} members are created")
            with under_load or nullcontext():
                storms = await _send_and_cut(scenario, workers, interrupted, on_progress)
                sending = await _request_all(workers, StopSending(), SendingResult)
                on_progress("waiting for the remaining deliveries")
                sent = {stream: numbers for each in sending for stream, numbers in each.sent.items()}
                quiet_s = SETTLE_INTERRUPTED_S if interrupted.is_set() else scenario.settle_s
                deliveries = await _request_all(workers, AwaitDeliveries(sent, quiet_s), DeliveryResult)
    return _report(scenario, interrupted.is_set(), (logins_s, logins), storms, sending, deliveries)


async def _request_all(workers: list[WorkerProcess], command: Command, reply_type: type[R]) -> list[R]:
    return await asyncio.gather(*(worker.request(command, reply_type) for worker in workers))


async def _create_groups(workers: list[WorkerProcess]) -> None:
    """Create all groups, and send greetings to them until every member has received one from each of its groups."""
    await _request_all(workers, CreateGroups(), CommandDone)
    await _request_all(workers, JoinGroups(), CommandDone)
    missing = 0
    for _ in range(MAX_GREETINGS):
        missing = sum(each.missing for each in await _request_all(workers, SendGreetings(), GreetingsReceived))
        if not missing:
            return
    raise LoadTestFailed(f"{missing} members of groups did not receive a greeting of the owner within {MAX_GREETINGS} attempts")


async def _send_and_cut(
    scenario: Scenario, workers: list[WorkerProcess], interrupted: asyncio.Event, on_progress: Callable[[str], None]
) -> list[Storm]:
    """Send for the scenario's time, or until interrupted, with its storms at equal distances."""
    storms: list[Storm] = []
    pause_s = scenario.seconds / (len(scenario.storms) + 1)
    await _request_all(workers, StartSending(), CommandDone)
    for cut in scenario.storms:
        if await _set_within(interrupted, pause_s):
            break
        begun = time.monotonic()
        replies = await _request_all(workers, CutConnections(cut), Reconnected)
        took_s, back = time.monotonic() - begun, sum(each.back for each in replies)
        on_progress(f"{back:,} of {cut:,} disconnected clients reconnected after {took_s:.1f} s")
        storms.append(Storm(cut, back, round(took_s, 2), Percentiles.from_histogram(_merged(each.times for each in replies))))
    await _set_within(interrupted, pause_s)
    return storms


def _report(
    scenario: Scenario,
    interrupted: bool,
    login_times: tuple[float, LatencyHistogram],
    storms: list[Storm],
    sending: list[SendingResult],
    deliveries: list[DeliveryResult],
) -> Report:
    """Add up the results of all workers."""
    logins_s, logins = login_times
    acks = _merged(each.acks for each in sending)
    sent_s, delivered_s = max(each.seconds for each in sending), max(each.seconds for each in deliveries)
    delivered = sum(each.delivered for each in deliveries)
    return Report(
        users=scenario.users,
        groups=scenario.groups,
        urls=len(scenario.urls),
        processes=scenario.processes,
        interrupted=interrupted,
        logins_s=round(logins_s, 2),
        logins_each_ms=Percentiles.from_histogram(logins),
        seconds=round(sent_s, 2),
        sent=len(acks),
        sent_per_s=round(len(acks) / sent_s, 1) if sent_s else 0.0,
        delivered=delivered,
        delivered_per_s=round(delivered / delivered_s, 1) if delivered_s else 0.0,
        ack_ms=Percentiles.from_histogram(acks),
        delivery_ms=Percentiles.from_histogram(_merged(each.deliveries for each in deliveries)),
        refused=dict(sum((Counter(each.refused) for each in sending), Counter())),
        lost=sum(each.lost for each in deliveries),
        lost_examples=[example for each in deliveries for example in each.examples],
        repeated=sum(each.repeated for each in deliveries),
        disordered=sum(each.disordered for each in deliveries),
        storms=storms,
        busy=round(max(each.busy for each in sending), 2),
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

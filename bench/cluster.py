"""A cluster under load: `make bench-cluster`, or `python -m bench.cluster --seconds 20 --storm 2000`.

PostgreSQL (synced), NATS and S3 come from wheels, and each gateway is a process; all run on this machine. First the cost is
measured: one gateway at a rate, two gateways at twice that rate, and then the maximum throughput with a fixed number of
unacknowledged messages for each gateway. Then the storm: all clients are disconnected at once while messages flow. The cost
of a process is its CPU time divided by the messages acked meanwhile. Other load on the machine changes this figure little,
so two gateways can be compared even where there are too few cores for them and their clients.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.support.backing_services import Nats, Postgres
from tests.support.s3_server import Bucket, s3_server
from timim.loadtest.coordinator import run_scenario
from timim.loadtest.report import Report
from timim.loadtest.scenario import Scenario
from timim.testing import RunningServer, running_server

PARTS = ("gateway", "postgres", "nats", "clients")


class Cpu:
    """CPU seconds that each part used while the block ran; for the gateways, their sum."""

    def __init__(self, gateways: Sequence[int]) -> None:
        self._gateways = set(gateways)
        self._before: dict[str, float] = {}
        self.spent: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._before = self._now()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.spent = {part: after - self._before[part] for part, after in self._now().items()}

    def _now(self) -> dict[str, float]:
        spent = dict.fromkeys(PARTS, 0.0)
        for process in psutil.Process().children(recursive=True):
            try:
                times, part = process.cpu_times(), self._part(process)
                if part is not None:
                    spent[part] += times.user + times.system
                    if part == "postgres":  # including its processes that have ended
                        spent[part] += times.children_user + times.children_system
            except psutil.NoSuchProcess:
                continue
        return spent

    def _part(self, process: psutil.Process) -> str | None:
        if process.pid in self._gateways:
            return "gateway"
        name = process.name()
        if name.startswith("postgres"):
            return "postgres"
        if name.startswith("nats"):
            return "nats"
        return "clients" if "timim.loadtest.worker" in process.cmdline() else None


@dataclass(frozen=True, slots=True)
class Services:
    postgres: Postgres
    nats: Nats
    bucket: Bucket

    @asynccontextmanager
    async def gateways(self, count: int) -> AsyncIterator[list[RunningServer]]:
        """Start gateways on an empty database."""
        database = await asyncio.to_thread(self.postgres.database, f"b{secrets.token_hex(8)}")
        settings: dict[str, Any] = {"database": database, "bus": self.nats.url, "group_messages_per_s": 0}
        settings |= {
            "blobs": f"s3://{self.bucket.name}?endpoint={self.bucket.endpoint}&region=us-east-1",
            "s3_access_key": self.bucket.access_key,
            "s3_secret_key": self.bucket.secret_key,
        }
        async with AsyncExitStack() as stack:
            yield [await stack.enter_async_context(running_server(**settings)) for _ in range(count)]


async def loaded(services: Services, gateways: int, **scenario: Any) -> tuple[Report, dict[str, float]]:
    """Run a scenario, and return its report and the CPU seconds used."""
    async with services.gateways(gateways) as servers:
        cpu = Cpu([server.pid for server in servers])
        whole = Scenario(
            urls=[server.url for server in servers],
            app_id=servers[0].app_id,
            key=servers[0].secret_key,
            run=f"bench-{secrets.token_hex(4)}",
            folder="",
            **scenario,
        )
        report = await run_scenario(whole, interrupted=asyncio.Event(), under_load=cpu)
        for example in report.lost_examples:
            print(example, file=sys.stderr)
        return report, cpu.spent


def row(what: str, gateways: int, runs: list[tuple[Report, dict[str, float]]]) -> tuple[str, float]:
    """Return a line of the table with medians, and the gateways' CPU time for each message in µs."""
    reports = [report for report, _ in runs]

    def middle(values: list[float]) -> float:
        return statistics.median(values)

    costs = {part: middle([spent[part] / max(1, report.sent) * 1e6 for report, spent in runs]) for part in PARTS}
    cells = [
        what,
        str(gateways),
        f"{middle([report.sent_per_s for report in reports]):,.0f}",
        f"{middle([report.delivered_per_s for report in reports]):,.0f}",
        *(
            f"{middle([times.p50 for times in some]):,.0f} / {middle([times.p99 for times in some]):,.0f}"
            for some in ([report.ack_ms for report in reports], [report.delivery_ms for report in reports])
        ),
        *(f"{costs[part]:,.0f}" for part in PARTS),
        " / ".join(str(sum(getattr(report, fault) for report in reports)) for fault in ("lost", "repeated", "disordered")),
    ]
    return "| " + " | ".join(cells) + " |", costs["gateway"]


HEAD = (
    "| load | gateways | acked a second | delivered a second | ack p50 / p99, ms | delivery p50 / p99, ms"
    " | gateways, µs | PostgreSQL, µs | NATS, µs | clients, µs | lost / repeated / out of order |"
)


async def costs(services: Services, given: argparse.Namespace) -> bool:
    scenario = {
        "users": given.users,
        "groups": given.groups,
        "members": given.members,
        "seconds": given.seconds,
        "processes": given.processes,
    }
    kinds = [(f"{given.rate:g} a second and gateway", given.rate), (f"{given.in_flight} in flight and gateway", 0.0)]
    print(HEAD, "|---" * HEAD.count(" | ") + "|---|", sep="\n", flush=True)
    sound = True
    for what, rate in kinds:
        runs: dict[int, list[tuple[Report, dict[str, float]]]] = {1: [], 2: []}
        for _ in range(given.rounds):
            for gateways, of in runs.items():
                each = {"rate": rate * gateways, "in_flight": given.in_flight * gateways}  # equal batches in each gateway
                of.append(await loaded(services, gateways, **each, **scenario))
        cost: dict[int, float] = {}
        for gateways, of in runs.items():
            line, cost[gateways] = row(what, gateways, of)
            print(line, flush=True)
            sound &= all(report.passed for report, _ in of)
        print(
            f"\ntwo gateways carry {2 * cost[1] / cost[2]:.2f} times what one does, by the gateways' CPU a message\n",
            flush=True,
        )
    return sound


async def storm(services: Services, given: argparse.Namespace) -> bool:
    """Disconnect all clients while they write, on one gateway and on two."""
    sound = True
    for gateways in (1, 2):
        scenario = {"users": given.storm, "storms": [given.storm], "rate": given.storm_rate, "seconds": given.seconds}
        report, spent = await loaded(services, gateways, processes=given.processes, **scenario)
        (cut,) = report.storms
        each, parts = cut.each_ms, ", ".join(f"{part} {seconds:.1f}" for part, seconds in spent.items())
        said = [
            f"storm, gateways: {gateways}",
            f"{report.users:,} logged in within {report.logins_s:.1f} s",
            f"{cut.back:,} of {cut.cut:,} back in {cut.seconds:.1f} s (p50 {each.p50 / 1000:.1f}, p99 {each.p99 / 1000:.1f})",
            f"{report.sent:,} messages, lost {report.lost}, repeated {report.repeated}, out of order {report.disordered}",
            f"CPU, s: {parts}",
        ]
        print("; ".join(said), flush=True)
        sound &= report.passed
    return sound


async def main(given: argparse.Namespace) -> int:
    """Run the benchmark. Return 0 if no message was lost, repeated or out of order."""
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load before: {load:.1f}; medians of {given.rounds}\n", flush=True)
    postgres, nats = await asyncio.to_thread(Postgres), await asyncio.to_thread(Nats)
    try:
        with tempfile.TemporaryDirectory(prefix="timim-s3-", ignore_cleanup_errors=True) as folder:
            buckets = s3_server(Path(folder))
            bucket = await asyncio.to_thread(buckets.__enter__)
            try:
                services = Services(postgres, nats, bucket)
                sound = await costs(services, given) if given.rounds else True
                if given.storm:
                    sound &= await storm(services, given)
            finally:
                await asyncio.to_thread(buckets.__exit__, None, None, None)
    finally:
        for service in (postgres, nats):
            await asyncio.to_thread(service.close)
    return 0 if sound else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each measurement; 0: only the storm")
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--groups", type=int, default=5)
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=200.0, help="messages per second of each gateway")
    parser.add_argument("--in-flight", type=int, default=64, help="unacknowledged messages of each gateway")
    parser.add_argument("--processes", type=int, default=2, help="client processes")
    parser.add_argument("--storm", type=int, default=2000, help="clients that are disconnected at once; 0: no storm")
    parser.add_argument("--storm-rate", type=float, default=100.0, help="messages per second during the storm")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(arguments())))

"""A deployment whose parts may be killed, and the measured time until its users have recovered."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from tests.support.backing_services import Nats, NatsCluster, Postgres
from tests.support.deployment import PATIENT, THIS, Deployment, Pair, Talk, deployment, talk_during
from timim.testing import RunningServer

# bus is all NATS servers; three is a gateway, a NATS server and PostgreSQL together
Part = Literal["gateway", "nats", "postgres", "bus", "three"]
PACE_S = 0.05  # between two messages of a pair


@dataclass(frozen=True, slots=True)
class Death:
    """The death of a part: `at` is the time of the kill, `over` the time of its recovery or replacement, both monotonic."""

    part: Part
    at: float
    over: float
    restarting: asyncio.Task[None] | None = None


@dataclass(slots=True)
class KillableCluster:
    """A deployment together with its back ends, all of which may be killed."""

    running: Deployment
    nats: NatsCluster
    postgres: Postgres

    async def kill(self, part: Part, rng: random.Random, *, away_s: float = 0.0) -> Death:
        """Kill a part as with kill -9, and start it again.

        A part that others can replace is restarted while they serve, any other one at once. `away_s` is the time in
        seconds until all NATS servers are started again.
        """
        at = time.monotonic()
        match part:
            case "gateway":
                server = rng.choice(self.running.gateways)
                await server.crash()
                return Death(part, at, at, asyncio.create_task(server.start()))
            case "nats":
                one = rng.choice(self.nats.servers)
                await asyncio.to_thread(one.stop)
                return Death(part, at, at, asyncio.create_task(asyncio.to_thread(one.start)))
            case "postgres":
                await asyncio.to_thread(self.postgres.stop, signal.SIGQUIT)
                await asyncio.to_thread(self.postgres.start)
            case "three":
                server, one = rng.choice(self.running.gateways), rng.choice(self.nats.servers)
                await server.crash()
                await asyncio.gather(asyncio.to_thread(one.stop), asyncio.to_thread(self.postgres.stop, signal.SIGQUIT))
                await asyncio.to_thread(self.postgres.start)  # a gateway does not start without PostgreSQL
                over = time.monotonic()
                return Death(part, at, over, asyncio.create_task(_started(server, one)))
            case "bus":
                await asyncio.to_thread(self.nats.stop)
                await asyncio.sleep(away_s)  # the outage is the subject of the test
                await asyncio.to_thread(self.nats.start)
        return Death(part, at, time.monotonic())


async def _started(server: RunningServer, nats: Nats) -> None:
    await asyncio.gather(server.start(), asyncio.to_thread(nats.start))


@asynccontextmanager
async def killable_cluster(
    postgres: Postgres, database: str, *, gateways: int = 3, program: Sequence[str] = THIS
) -> AsyncIterator[KillableCluster]:
    """Start gateways and three NATS servers on an empty database of this PostgreSQL."""
    url = await asyncio.to_thread(postgres.database, database)
    nats = await asyncio.to_thread(NatsCluster, 3)
    try:
        async with deployment(*[program] * gateways, database=url, bus=nats.url) as running:
            running.options = PATIENT  # clients reconnect at the default pace, because their recovery is measured
            yield KillableCluster(running, nats, postgres)
    finally:
        await asyncio.to_thread(nats.close)


@dataclass(slots=True)
class RecoveryTimes:
    """Recovery times in seconds: `recoveries` of pairs by killed part, `lateness` of messages outside the outages."""

    recoveries: dict[Part, list[float]] = field(default_factory=dict)
    lateness: list[float] = field(default_factory=list)

    @property
    def all_recoveries(self) -> list[float]:
        return [seconds for several in self.recoveries.values() for seconds in several]

    def tell(self) -> str:
        lines = [f"{part}: recovery of {len(took)} pairs, {_figures(took)}" for part, took in self.recoveries.items()]
        lines.append(f"all: recovery of {len(self.all_recoveries)} pairs, {_figures(self.all_recoveries)}")
        return "\n".join([*lines, f"{len(self.lateness)} messages: late besides the outage, {_figures(self.lateness)}"])


async def survive_deaths(
    cluster: KillableCluster, deaths: Sequence[Part], rng: random.Random, *, pairs: int, limit_s: float, away_s: float = 0.3
) -> RecoveryTimes:
    """Let pairs talk while parts are killed one by one, and check that every message arrives once and in order.

    Half of the pairs talk in groups. Every other pair falls silent after each kill.

    Raises:
        TimeoutError: A pair has not recovered `limit_s` after an outage (inside an ExceptionGroup).
    """
    story, outages = RecoveryTimes(), []

    async def die(talk: Talk) -> None:
        shy, others = talk.pairs[::2], talk.pairs[1::2]
        for part in deaths:
            await asyncio.sleep(0.3 + 0.5 * rng.random())  # some messages pass in between
            for pair in shy:
                pair.fall_silent()
            death = await cluster.kill(part, rng, away_s=away_s)
            outages.append(death)
            try:
                async with asyncio.timeout(limit_s):
                    back = [_back(talk, pair, death.at) for pair in shy] + [_back(talk, pair, death.over) for pair in others]
                    recoveries = [max(0.0, at - death.over) for at in await asyncio.gather(*back)]
                story.recoveries.setdefault(part, []).extend(recoveries)
                for pair in shy:
                    pair.go_on()
            finally:
                if death.restarting is not None:
                    await death.restarting

    talk = await talk_during(cluster.running, die, pairs=pairs, groups=True, pace_s=PACE_S)
    for pair in talk.pairs:
        story.lateness += [_lateness(begun, pair.came[text], outages) for text, begun in pair.begun.items()]
    return story


async def _back(talk: Talk, pair: Pair, since: float) -> float:
    """Wait for the first message that was sent after `since`, and return the time of its delivery."""

    def came() -> list[float]:
        return [came for text, came in pair.came.items() if pair.begun[text] >= since]

    await talk.until(came)
    return min(came())


def _lateness(begun: float, came: float, deaths: Sequence[Death]) -> float:
    return came - begun - sum(max(0.0, min(came, death.over) - max(begun, death.at)) for death in deaths)


def _figures(seconds: Sequence[float]) -> str:
    ordered = sorted(seconds)
    return f"p50 {percentile(ordered, 50):.2f} s, p99 {percentile(ordered, 99):.2f} s, longest {ordered[-1]:.2f} s"


def percentile(seconds: Sequence[float], percent: int) -> float:
    return sorted(seconds)[min(len(seconds) - 1, len(seconds) * percent // 100)]

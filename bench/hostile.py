"""A server under attack: `make bench-load`, or `python -m bench.hostile --seconds 5 --idle 5000`.

First the memory of idle clients is measured. Then, for each attack, an honest user sends messages at a steady pace: quietly,
and while peers in another process do harm. The server has its default limits, and a core of its own, as a server has that is
attacked from other machines. The attackers have the other cores, and the honest user goes first there. The exit
status is 1 if a limit is broken: 40 KiB for an idle client, twice the quiet p99 of an ack, 64 MiB more memory of the server.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import psutil

from tests.support.hostile_peer import BINARY, CONTINUATION, FINAL, PING, Peer, frame, memory, peers
from timim import Client, TimimError, sign_user
from timim.protocol.codec import encode
from timim.protocol.frames import Head
from timim.protocol.messages import ROAM_C2C, RoamC2CRequest
from timim.protocol.session import LOGIN
from timim.server.settings import Settings
from timim.testing import RunningServer, running_server
from timim.testing.server import GENEROUS

MIB = 1024 * 1024
CORES = os.sched_getaffinity(0)
IDLE_LIMIT_KIB = 40.0
P99_LIMIT = 2.0  # times the quiet one
GROWTH_LIMIT_MIB = 64.0
PACE_S = 0.01  # between two messages of the honest user
LOGINS_AT_ONCE = 50
MANY_CONNECTIONS = dict.fromkeys(("connections_per_address", "connections_per_subnet", "new_connections_per_s"), 0)
MESSAGE = "x" * 10_000
DEFAULTS = {name: Settings.model_fields[name].default for name in GENEROUS}  # what a test server has not
DEFAULTS["trusted_proxies"] = ""  # loopback is an address like others


class Target:
    """The server, as an attacker in another process sees it."""

    def __init__(self, url: str, app_id: int, secret_key: str) -> None:
        self.url = url
        self.app_id = app_id
        self.secret_key = secret_key

    def client(self, user: str) -> Client:
        return Client(self.url, app_id=self.app_id, user_id=user, user_sig=self.sign(user), data_dir=":memory:")

    def sign(self, user: str) -> str:
        return sign_user(self.app_id, self.secret_key, user)


async def log_in(target: Target, peer: Peer, user: str) -> None:
    await peer.upgrade()
    await peer.request(Head(LOGIN.name, seq=1, identifier=user, usersig=target.sign(user)), b"{}")
    await peer.receive()


async def wait_until_cut(peer: Peer) -> None:
    while not peer.is_cut():  # noqa: ASYNC110  the kernel sets no event
        await asyncio.sleep(0.2)


async def forever(attack: Callable[[Peer], Awaitable[object]], target: Target, count: int) -> None:
    """Open `count` connections, attack on each, and open a new one for each that the server cuts."""

    async def one() -> None:
        while True:
            try:
                async with peers(target) as (peer,):
                    await attack(peer)
            except OSError:
                pass
            await asyncio.sleep(0.05)

    await asyncio.gather(*(one() for _ in range(count)))


async def pings(target: Target) -> None:
    """Send pings, and read no pong."""
    chunk = frame(FINAL | PING, bytes(125)) * 200

    async def attack(peer: Peer) -> None:
        await peer.upgrade()
        await peer.flood(chunk, 1 << 40)

    await forever(attack, target, 4)


async def heads(target: Target) -> None:
    """Send request heads without an end."""

    async def attack(peer: Peer) -> None:
        await peer.send(b"GET / HTTP/1.1\r\n")
        await peer.flood(b"X-A: %b\r\n" % (b"a" * 1000) * 60, 1 << 40)

    await forever(attack, target, 4)


async def fragments(target: Target) -> None:
    """Send empty fragments without an end."""

    async def attack(peer: Peer) -> None:
        await peer.upgrade()
        await peer.send(frame(BINARY))
        await peer.flood(frame(CONTINUATION) * 1000, 1 << 40)

    await forever(attack, target, 4)


async def answers(target: Target) -> None:
    """Ask for pages of history, and read none."""
    async with target.client("mallory") as mallory:
        await asyncio.gather(*(mallory.c2c("victim").send(MESSAGE) for _ in range(40)))
    body = encode(RoamC2CRequest(peer="mallory", max_cnt=100))

    async def attack(peer: Peer) -> None:
        await log_in(target, peer, "victim")
        for number in range(1 << 20):
            await peer.ask(ROAM_C2C.name, body, number)

    await forever(attack, target, 10)


async def silent(target: Target) -> None:
    """Hold 200 connections open, 50 of which drip a request head."""

    async def drip(peer: Peer) -> None:
        for byte in b"GET /healthz HTTP/1.1\r\nX: " + b"a" * 10_000:
            await peer.send(bytes((byte,)))
            await asyncio.sleep(0.2)

    await asyncio.gather(forever(wait_until_cut, target, 150), forever(drip, target, 50))


async def messages(target: Target) -> None:
    """Send messages of 2 kB as one user, as fast as the server takes them."""
    async with target.client("flooder") as flooder:
        conversation = flooder.c2c("victim")

        async def one() -> None:
            while True:
                try:
                    await conversation.send("y" * 2000)
                except TimimError:
                    await asyncio.sleep(0.01)

        await asyncio.gather(*(one() for _ in range(64)))


async def stalled(target: Target) -> None:
    """Read nothing, while another user sends."""

    async def attack(peer: Peer) -> None:
        await log_in(target, peer, "victim")
        await wait_until_cut(peer)

    async def feed() -> None:
        async with target.client("feeder") as feeder:
            while True:
                await feeder.c2c("victim").send(MESSAGE)
                await asyncio.sleep(0.005)

    await asyncio.gather(forever(attack, target, 5), feed())


ATTACKS: dict[str, Callable[[Target], Awaitable[None]]] = {
    one.__name__: one for one in (pings, heads, fragments, answers, silent, messages, stalled)
}


async def latencies(client: Client, seconds: float) -> list[float]:
    """Send a message each PACE_S, and return the times to the acks, in milliseconds."""
    conversation = client.c2c("friend")
    took: list[float] = []

    async def one() -> None:
        begun = time.perf_counter()
        await conversation.send("hello")
        took.append((time.perf_counter() - begun) * 1000)

    async with asyncio.TaskGroup() as sending:
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            sending.create_task(one())
            await asyncio.sleep(PACE_S)
    return took


class Period:
    """The acks of the honest user in periods of one kind, and the time of the server's processor meanwhile."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._loads: list[float] = []

    async def measure(self, server: RunningServer, client: Client, seconds: float) -> None:
        """Add one more period."""
        process = psutil.Process(server.pid)
        process.cpu_percent()
        self._times += await latencies(client, seconds)
        self._loads.append(process.cpu_percent())

    @property
    def median(self) -> float:
        return statistics.median(self._times)

    @property
    def p99(self) -> float:
        return statistics.quantiles(self._times, n=100)[98]

    @property
    def cpu_percent(self) -> float:
        return statistics.mean(self._loads)


@asynccontextmanager
async def attacked(server: RunningServer, name: str) -> AsyncIterator[None]:
    """Attack the server from another process while the block runs."""
    command = ("-m", "bench.hostile", "--attack", name, "--target", server.url, str(server.app_id), server.secret_key)
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        await process.stdout.readline()  # its imports take time on the core of the honest user
        yield
        if process.returncode is not None:
            raise SystemExit(f"the attack {name} ended by itself with {process.returncode}")
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def own_core(server: RunningServer) -> None:
    """Give the server one core, and all other processes of this run the others, if there are any."""
    first, *others = sorted(CORES)
    if others:
        for thread in psutil.Process(server.pid).threads():
            os.sched_setaffinity(thread.id, {first})
        os.sched_setaffinity(0, others)


async def say_hello(target: Target, sender: str, receiver: str) -> None:
    """Make the receiver no stranger to the sender, so that the rate of messages to strangers does not apply."""
    async with target.client(sender) as client:
        await client.c2c(receiver).send("hello")


async def under_attack(name: str, seconds: float, rounds: int) -> bool:
    """Measure one attack on a new server, print its row, and return True if the limits hold."""
    async with running_server(**DEFAULTS) as server, AsyncExitStack() as stack:
        await server.add_users("victim", "friend", "honest", "flooder")
        target = Target(server.url, server.app_id, server.secret_key)
        await say_hello(target, "friend", "honest")
        await say_hello(target, "victim", "flooder")
        own_core(server)
        honest = await stack.enter_async_context(target.client("honest"))
        await latencies(honest, seconds / 2)  # the first messages are slower
        quiet, busy = Period(), Period()
        peak = before = memory(server)
        for _ in range(rounds):
            await quiet.measure(server, honest, seconds)
            async with attacked(server, name):
                watch = asyncio.create_task(busy.measure(server, honest, seconds))
                while not watch.done():
                    peak = max(peak, memory(server))
                    await asyncio.sleep(0.05)
                await watch
    grown, factor = (peak - before) / MIB, busy.p99 / quiet.p99
    good = factor <= P99_LIMIT and grown <= GROWTH_LIMIT_MIB
    middle = f"{quiet.median:.2f} | {busy.median:.2f} | {quiet.p99:.2f} | {busy.p99:.2f} | {factor:.2f}"
    cpu = f"{quiet.cpu_percent:.0f} | {busy.cpu_percent:.0f}"
    print(f"| {name} | {middle} | {cpu} | {grown:+.0f} | {'yes' if good else 'NO'} |", flush=True)
    return good


async def idle(count: int) -> bool:
    """Log in many clients that do nothing, and print the memory that each costs the server."""
    async with running_server(**{**DEFAULTS, **MANY_CONNECTIONS, "idle_timeout_s": 600}) as server:
        await server.add_users(*(f"u{n}" for n in range(count)))
        before = memory(server)
        async with peers(server, count) as opened:
            slots = asyncio.Semaphore(LOGINS_AT_ONCE)

            async def one(peer: Peer, user: str) -> None:
                async with slots:
                    await peer.login(server, user)

            await asyncio.gather(*(one(peer, f"u{n}") for n, peer in enumerate(opened)))
            each = (memory(server) - before) / 1024 / count
    print(
        f"{count} idle clients: {each:.1f} KiB each (limit {IDLE_LIMIT_KIB:g}), {before / MIB:.0f} MiB before them\n",
        flush=True,
    )
    return each <= IDLE_LIMIT_KIB


async def attack(name: str, url: str, app_id: int, secret_key: str) -> None:
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))  # the honest user, which has the same core, goes first
    print("attacking", flush=True)
    await ATTACKS[name](Target(url, app_id, secret_key))


async def measure(given: argparse.Namespace) -> bool:
    good = not given.idle or await idle(given.idle)
    print(
        "| attack | ack p50, ms, quiet | attacked | p99, quiet | attacked | factor | CPU, %, quiet | attacked | MiB | holds |",
        "|---" * 10 + "|",
        sep="\n",
    )
    for name in given.attacks.split(","):
        good = await under_attack(name, given.seconds, given.rounds) and good
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--attack", help=argparse.SUPPRESS)
    parser.add_argument("--target", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--attacks", default=",".join(ATTACKS))
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--idle", type=int, default=5000, help="number of idle clients; 0 skips them")
    given = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, hard), hard))
    if given.attack:
        url, app_id, secret_key = given.target
        asyncio.run(attack(given.attack, url, int(app_id), secret_key))
        return
    sys.exit(0 if asyncio.run(measure(given)) else 1)


if __name__ == "__main__":
    main()

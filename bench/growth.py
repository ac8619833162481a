"""Cost against size: `make bench-growth`, or `python -m bench.growth --largest 10000 --panels elems,groups`.

Each curve is drawn on two logarithmic axes, with its slope beside it: 0 for a cost that does not depend on the size, 1 for one
in proportion to it. The exit status is 1 if a curve is steeper than its limit. Servers and clients are real ones on files, with
commits synced. docs/images/growth.png is written if all sizes were measured.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from bench import big_group, local_store, login_cost
from tests.support.hostile_peer import memory, peers
from timim import Client, TextElem
from timim.server.store.sqlite import SqliteStore
from timim.testing import RunningServer, running_server

PLOT = Path(__file__).parent.parent / "docs" / "images" / "growth.png"
FLAT, LINEAR = 0.25, 1.15  # limits of slopes
ROUNDS = 50
PAGE = 20
LOGINS_AT_ONCE = 50
MANY_CONNECTIONS: dict[str, Any] = dict.fromkeys(
    ("connections_per_address", "connections_per_subnet", "new_connections_per_s"), 0
)
LOCAL = {  # curves of the local store: the field of its figures, their unit in ms, and the limit
    "open the local store": ("open_ms", 1, FLAT),
    "local page of 20": ("page_us", 1e-3, FLAT),
    "fill a local gap of 20": ("fill_us", 1e-3, FLAT),
}
MIB = 1024 * 1024


@dataclass
class Curve:
    """The costs of one operation by size, and the limit of their slope."""

    name: str
    limit: float
    unit: str = "ms"
    points: dict[int, float] = field(default_factory=dict)

    @property
    def slope(self) -> float:
        """The exponent of the power of the size that fits best."""
        sizes, costs = np.log(list(self.points)), np.log(list(self.points.values()))
        return float(np.polyfit(sizes, costs, 1)[0])

    @property
    def is_too_steep(self) -> bool:
        return self.slope > self.limit


def powers_of_ten(first: int, last: int) -> list[int]:
    """Return the powers of ten from `first` on, and `last`."""
    return [*(10**power for power in range(round(math.log10(first)), math.ceil(math.log10(last)))), last]


async def median_ms(act: Callable[[], Awaitable[object]], rounds: int = ROUNDS) -> float:
    times: list[float] = []
    for _ in range(rounds):
        begun = time.perf_counter()
        await act()
        times.append((time.perf_counter() - begun) * 1e3)
    return statistics.median(times)


async def fill(folder: Path, count: int) -> None:
    """Insert messages of u0 to alice directly into the database of a stopped server."""
    store = SqliteStore(folder / "timim.db")
    await store.open()
    for user in ("alice", "u0"):
        await store.accounts.ensure(user)
    at = int(time.time())
    for first in range(1, count + 1, 1000):
        numbers = range(first, min(first + 1000, count + 1))
        await asyncio.gather(*(store.timelines.append(login_cost.entry("u0", at, number)) for number in numbers))
    await store.close()


async def messages(sizes: Iterable[int]) -> list[Curve]:
    """Measure a conversation with many messages, at the server and in a local store."""
    sizes = list(sizes)
    send, page = Curve("send", FLAT), Curve("server page of 20", FLAT)
    local = [Curve(name, limit) for name, (_, _, limit) in LOCAL.items()]
    with tempfile.TemporaryDirectory() as name:
        for figures in await local_store.measure(Path(name), tuple(sizes)):
            for curve in local:
                key, unit, _ = LOCAL[curve.name]
                curve.points[figures.size] = getattr(figures, key) * unit
    with tempfile.TemporaryDirectory() as name:
        stored = 0
        for size in sizes:
            await fill(Path(name), size - stored)
            stored = size
            async with running_server(data_dir=Path(name)) as server, server.client("alice", data_dir=":memory:") as alice:
                peer = alice.c2c("u0")
                send.points[size] = await median_ms(partial(peer.send, "hello"))
                page.points[size] = await median_ms(partial(read, alice, size))
    return [send, page, *local]


async def read(client: Client, last: int) -> None:
    """Fetch the page up to `last` from the server, whatever is stored."""
    found = await client.engine.history._fetcher.fetch_newest(client.c2c("u0").key, 1, last, PAGE)
    assert len(found.entries) == PAGE


async def depth(sizes: Iterable[int]) -> list[Curve]:
    """Measure pages of a long history, by the number of messages after them."""
    sizes = list(sizes)
    page = Curve("server page of 20", FLAT)
    with tempfile.TemporaryDirectory() as name:
        newest = sizes[-1] + PAGE
        await fill(Path(name), newest)
        async with running_server(data_dir=Path(name)) as server, server.client("alice", data_dir=":memory:") as alice:
            for size in sizes:
                page.points[size] = await median_ms(partial(read, alice, newest - size))
    return [page]


async def conversations(sizes: Iterable[int]) -> list[Curve]:
    """Measure logins of an account with many conversations."""
    # each login reads the list of conversations from the local store into memory
    curves = [Curve("first login", LINEAR), Curve("login, nothing changed", LINEAR), Curve("login, 5 changed", LINEAR)]
    for size in sizes:
        for curve, logins in zip(curves, await login_cost.measure(size), strict=True):
            curve.points[size] = logins.login_ms
    return curves


async def groups(sizes: Iterable[int]) -> list[Curve]:
    """Measure a Community, of whose members at most 20 are online."""
    curves = {
        "send": Curve("send", FLAT),
        "add_last": Curve("add the last 100 members", FLAT),
        "list_all": Curve("list all members", LINEAR),
        "dissolve": Curve("dissolve", LINEAR),
    }
    for size in sizes:
        figures = await big_group.measure(size)
        for key, curve in curves.items():
            if key != "add_last" or size >= big_group.BATCH:
                curve.points[size] = getattr(figures, key)
    return list(curves.values())


async def online(sizes: Iterable[int]) -> list[Curve]:
    """Measure a server with many idle clients, and two that talk."""
    send, cpu = Curve("send", FLAT), Curve("server's CPU of a send", FLAT)
    memory_of_all = Curve("memory of the clients", LINEAR, "MiB")
    for size in sizes:
        async with running_server(**MANY_CONNECTIONS, idle_timeout_s=600) as server:
            await server.add_users("bob", *(f"u{n}" for n in range(size)))
            before = memory(server)
            async with peers(server, size) as opened, server.client("alice", data_dir=":memory:") as alice:
                for first in range(0, size, LOGINS_AT_ONCE):
                    some = enumerate(opened[first : first + LOGINS_AT_ONCE], first)
                    await asyncio.gather(*(peer.login(server, f"u{number}") for number, peer in some))
                memory_of_all.points[size] = (memory(server) - before) / MIB
                bob = alice.c2c("bob")
                begun = cpu_s(server)
                send.points[size] = await median_ms(partial(bob.send, "hello"), 10 * ROUNDS)
                cpu.points[size] = (cpu_s(server) - begun) / (10 * ROUNDS) * 1e3
    return [send, cpu, memory_of_all]


def cpu_s(server: RunningServer) -> float:
    times = psutil.Process(server.pid).cpu_times()
    return float(times.user + times.system)


async def elems(sizes: Iterable[int]) -> list[Curve]:
    """Measure messages of many elems."""
    send, client_cpu = Curve("send", LINEAR), Curve("client's CPU of a send", LINEAR)
    async with running_server() as server, server.client("alice") as alice:
        await server.add_users("bob")
        bob = alice.c2c("bob")
        await median_ms(partial(bob.send, "hello"))
        for size in sizes:
            parts = [TextElem(text=f"elem {n} of a message") for n in range(size)]
            begun = time.process_time()
            send.points[size] = await median_ms(partial(bob.send, *parts))
            client_cpu.points[size] = (time.process_time() - begun) / ROUNDS * 1e3
    return [send, client_cpu]


PANELS = {  # by name: the title, the sizes, and what measures them
    "messages": ("messages of a conversation", powers_of_ten(1000, 1_000_000), messages),
    "depth": ("messages after the page", powers_of_ten(10, 100_000), depth),
    "conversations": ("conversations of an account", powers_of_ten(10, 10_000), conversations),
    "groups": ("members of a group", powers_of_ten(10, 5000), groups),
    "online": ("clients online", powers_of_ten(10, 5000), online),
    "elems": ("elems of a message", [1, 2, 5, 10, 20, 50, 100], elems),
}


def draw(panels: dict[str, list[Curve]], path: Path) -> None:
    """Draw the panels beside each other, each curve with its slope."""
    import matplotlib as mpl  # a second to import, and needs a cache of fonts

    mpl.use("agg")  # draws without a display
    from matplotlib import pyplot as plt

    figure, grid = plt.subplots(2, 3, figsize=(16, 9), layout="constrained")
    for axes, (name, curves) in zip(grid.flat, panels.items(), strict=False):
        for curve in curves:
            label = f"{curve.name}, {curve.unit}: slope {curve.slope:.2f}"
            axes.loglog(list(curve.points), list(curve.points.values()), marker="o", label=label)
        axes.set_xlabel(PANELS[name][0])
        axes.set_ylabel("cost")
        axes.grid(visible=True, which="major", alpha=0.3)
        axes.legend(fontsize="small")
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_axis_off()
    figure.savefig(path, dpi=80)


async def measure(names: Iterable[str], largest: int) -> dict[str, list[Curve]]:
    """Measure panels, and print a row for each curve."""
    print("| size | cost | points | slope | limit |", "|---" * 5 + "|", sep="\n")
    panels: dict[str, list[Curve]] = {}
    for name in names:
        title, all_sizes, run = PANELS[name]
        sizes = [size for size in all_sizes if size <= largest]
        if len(sizes) < 2:
            print(f"| {title} | not measured up to {largest:,} | | | |")
            continue
        panels[name] = await run(sizes)
        for curve in panels[name]:
            points = ", ".join(f"{size:,}: {cost:.3g}" for size, cost in curve.points.items())
            verdict = "NO, " if curve.is_too_steep else ""
            print(
                f"| {title} | {curve.name}, {curve.unit} | {points} | {verdict}{curve.slope:.2f} | {curve.limit} |", flush=True
            )
    return panels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--panels", default=",".join(PANELS))
    parser.add_argument("--largest", type=int, default=1_000_000, help="largest size")
    parser.add_argument("--out", type=Path, help="the picture; docs/images/growth.png if everything is measured")
    given = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, hard), hard))
    names = given.panels.split(",")
    panels = asyncio.run(measure(names, given.largest))
    whole = set(names) == set(PANELS) and given.largest >= max(max(sizes) for _, sizes, _ in PANELS.values())
    if path := given.out or (PLOT if whole else None):
        draw(panels, path)
        print(f"\nthe picture: {path}")
    sys.exit(1 if any(curve.is_too_steep for curves in panels.values() for curve in curves) else 0)


if __name__ == "__main__":
    main()

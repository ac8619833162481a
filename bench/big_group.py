"""Cost of a big group: creating it in batches of 100, sending, listing and dissolving it, for several sizes.

`python bench/big_group.py [members …]` starts a real server on files (commits synced to disk) with that many accounts.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from timim.server.store.sqlite import SqliteStore
from timim.testing import EventRecorder, running_server

SIZES = (100, 1_000, 10_000)
ONLINE = 20
BATCH = 100  # members added at once
ROUNDS = 20


async def accounts(folder: Path, count: int) -> None:
    """Create accounts as if each user had logged in once."""
    store = SqliteStore(folder / "timim.db")
    await store.open()
    for start in range(0, count, 1000):
        await asyncio.gather(*(store.accounts.ensure(f"u{n}") for n in range(start, min(count, start + 1000))))
    await store.close()


async def timed(act: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await act()
    return (time.perf_counter() - began) * 1000


class Figures(NamedTuple):
    """Milliseconds of one size."""

    add_first: float
    add_last: float
    send: float
    page_of_100: float
    list_all: float
    rename: float
    cold_send: float
    dissolve: float


async def measure(size: int) -> Figures:
    """Measure one size on its own server."""
    with tempfile.TemporaryDirectory() as name:
        await accounts(Path(name), size)
        async with running_server(data_dir=Path(name)) as server:
            owner = server.client("owner")
            online = [server.client(f"u{n}") for n in range(min(ONLINE, size))]
            watches = [EventRecorder(client) for client in online]
            async with owner:
                for client in online:
                    await client.login()
                users = [f"u{n}" for n in range(size)]
                group = await owner.groups.create("Community", name="big")
                batches = [await timed(partial(group.invite, users[s : s + BATCH])) for s in range(0, size, BATCH)]
                sends = [await timed(lambda: group.conversation.send("hello, everybody")) for _ in range(ROUNDS)]
                await asyncio.gather(*(w.wait_for_message(lambda m: m.seq == len(batches) + ROUNDS) for w in watches))
                listing = await timed(group.members)
                page = await timed(lambda: group.members().__aiter__().__anext__())
                renames = [await timed(partial(group.set_info, name=f"big {n}")) for n in range(ROUNDS)]
                for client in online:
                    await client.close()
                await server.restart()
                async with server.client("owner") as again:
                    cold = await timed(lambda: again.group(group.id).send("first after a restart"))
                    dissolve = await timed(lambda: again.groups.of(group.id).dissolve())
    return Figures(batches[0], batches[-1], statistics.median(sends), page, listing, statistics.median(renames), cold, dissolve)


async def main() -> None:
    """Print the table, one line for each size, in milliseconds."""
    sizes = [int(given) for given in sys.argv[1:]] or SIZES
    print(f"{'members':>8}" + "".join(f"{name.replace('_', ' '):>12}" for name in Figures._fields))
    for size in sizes:
        print(f"{size:>8}" + "".join(f"{value:>12.1f}" for value in await measure(size)))


if __name__ == "__main__":
    asyncio.run(main())

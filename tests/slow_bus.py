"""A gateway that hears late of the groups that its users come into, as if NATS were far away: what is said first it misses."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from timim.cli import main
from timim.server.bus.nats import NatsBus

LATE_S = 0.5
join_group = NatsBus._join_group


async def join_late(self: NatsBus, group_id: str, users: Iterable[str]) -> None:
    await asyncio.sleep(LATE_S)
    await join_group(self, group_id, users)


NatsBus._join_group = join_late  # type: ignore[method-assign]

if __name__ == "__main__":
    main()

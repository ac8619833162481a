"""A gateway whose announcements of changed groups, relationships and profiles arrive late at other gateways, or never."""

from __future__ import annotations

import asyncio
import random

from timim.cli import main
from timim.server.bus.base import Invalidation
from timim.server.bus.nats import NatsBus

LOST = 0.4  # share of the announcements that never arrive
LATE_S = 0.3
announce = NatsBus.announce
_random = random.Random(17)


def announce_late(self: NatsBus, facts: Invalidation) -> None:
    if _random.random() >= LOST:
        asyncio.get_running_loop().call_later(_random.uniform(0, LATE_S), announce, self, facts)


NatsBus.announce = announce_late  # type: ignore[method-assign]

if __name__ == "__main__":
    main()

"""A gateway that subscribes late to the groups that its users join, as if NATS were slow, and so misses the first messages.

Subscribing takes longer than the time for which newcomers get messages on their own subjects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from timim.cli import main
from timim.server.bus import nats_messages, nats_subscriptions

LATE_S = 1.5  # more than a send takes on a busy machine
join_group = nats_subscriptions.NatsSubscriptions._join_group


async def join_late(self: nats_subscriptions.NatsSubscriptions, group_id: str, users: Iterable[str]) -> None:
    await asyncio.sleep(LATE_S)
    await join_group(self, group_id, users)


nats_subscriptions.NatsSubscriptions._join_group = join_late  # type: ignore[method-assign]
nats_messages.Newcomers.add = lambda self, group_id, users: None  # type: ignore[method-assign]
nats_subscriptions.NEWCOMER_S = 0.0  # type: ignore[attr-defined]

if __name__ == "__main__":
    main()

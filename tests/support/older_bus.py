"""A gateway as of a version that sends a group's messages on the group's subject only. It subscribes late, as in `late_bus`."""

from __future__ import annotations

from tests.support import late_bus  # noqa: F401  patches the bus
from timim.cli import main
from timim.server.bus import nats, nats_messages, nats_subscriptions
from timim.server.bus.base import Invalidation


def announce(self: nats.NatsBus, facts: Invalidation) -> None:
    self._subscriptions.apply(facts)
    self._connection.send(self._subjects.invalidations, nats_messages.pack(facts))


nats.NatsBus.announce = announce  # type: ignore[method-assign]
nats_subscriptions.NEWCOMER_S = nats_messages.NEWCOMER_S  # type: ignore[attr-defined]

if __name__ == "__main__":
    main()

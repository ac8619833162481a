"""A server that publishes only entries that it stored itself, and does not detect that another node died."""

from __future__ import annotations

from timim.cli import main
from timim.server.bus.base import Event
from timim.server.bus.heartbeats import HeartbeatMonitor
from timim.server.bus.nats import NatsBus

publish = NatsBus.publish


def publish_once(self: NatsBus, event: Event, *, again: bool = False) -> None:
    if not again:
        publish(self, event)


def nobody_is_missed(self: HeartbeatMonitor) -> None:
    """Report no silent node."""


NatsBus.publish = publish_once  # type: ignore[method-assign]
HeartbeatMonitor.check_silence = nobody_is_missed  # type: ignore[method-assign]

if __name__ == "__main__":
    main()

"""A server that ignores gaps in the heartbeats of other nodes."""

from __future__ import annotations

from timim.cli import main
from timim.server.bus.heartbeats import HeartbeatMonitor


def hear(self: HeartbeatMonitor, message: bytes) -> bool:
    return False


HeartbeatMonitor.on_heartbeat = hear  # type: ignore[method-assign]

if __name__ == "__main__":
    main()

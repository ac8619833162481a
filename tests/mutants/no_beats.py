"""A server that hears no hole in what other nodes say."""

from __future__ import annotations

from timim.cli import main
from timim.server.bus.heartbeats import HeartbeatMonitor


def hear(self: HeartbeatMonitor, message: bytes) -> bool:
    return False


HeartbeatMonitor.on_heartbeat = hear  # type: ignore[method-assign]

if __name__ == "__main__":
    main()

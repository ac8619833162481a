"""A server that does not report a possible loss of hints to its sessions."""

from __future__ import annotations

from timim.cli import main
from timim.server.sessions.session import Session


def nothing(self: Session) -> None:
    """Report nothing to the device."""


Session.announce_gap = nothing  # type: ignore[method-assign]

if __name__ == "__main__":
    main()

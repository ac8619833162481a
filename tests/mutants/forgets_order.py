"""A server that decides outdated messages again without regard to the later messages of their sender."""

from __future__ import annotations

import tests.support.lossy_bus  # noqa: F401  the same bus as in the test
from timim.cli import main
from timim.server.messaging.sender_lane import LanePlace, SenderLane


def nothing(self: SenderLane, place: LanePlace) -> None:
    """Note no failure."""


SenderLane.fail = nothing  # type: ignore[method-assign]

if __name__ == "__main__":
    main()

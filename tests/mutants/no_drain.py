"""A server that lets go of what is under way when it is told to stop."""

from __future__ import annotations

from timim.cli import main
from timim.server.endpoints.websocket import Door

drain = Door.drain


def drop(self: Door) -> None:
    for answer in self._answers:
        answer.cancel()
    drain(self)


Door.drain = drop  # type: ignore[method-assign]

if __name__ == "__main__":
    main()

"""A server that does not record its deliveries to the operator's back end."""

from __future__ import annotations

from timim.cli import main
from timim.server.store import delivery_cursors
from timim.server.store.operation import Execute, Operation


def advance_nothing(feed: str, timeline: str, seq: int) -> Operation[None]:
    yield Execute("SELECT 1")


delivery_cursors.advance = advance_nothing

if __name__ == "__main__":
    main()

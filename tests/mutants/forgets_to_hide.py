"""A server that pushes a message without a copy for its sender to the receiver only, and shows it in the sender's history."""

from __future__ import annotations

from timim.cli import main
from timim.server.store import timelines
from timim.server.store.entries import DeletionChange
from timim.server.store.operation import Operation


def hide(user: str, timeline: int, name: str, seq: int, time: int) -> Operation[DeletionChange]:
    """Hide nothing."""
    yield from ()
    return DeletionChange(0)


timelines.hide = hide  # type: ignore[attr-defined]

if __name__ == "__main__":
    main()

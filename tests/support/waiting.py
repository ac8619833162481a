"""Waiting for a state that no event reports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

LIMIT_S = 20.0


async def eventually(holds: Callable[[], bool], *, limit_s: float = LIMIT_S) -> None:
    """Return when a condition holds. Raises TimeoutError if it does not hold in time."""
    async with asyncio.timeout(limit_s):
        while not holds():  # noqa: ASYNC110  no event reports the state
            await asyncio.sleep(0.01)

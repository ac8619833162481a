"""Waiting for a state that no event reports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from timim import Conversation, Message

LIMIT_S = 20.0


async def eventually(holds: Callable[[], bool], *, limit_s: float = LIMIT_S) -> None:
    """Return when a condition holds. Raises TimeoutError if it does not hold in time."""
    async with asyncio.timeout(limit_s):
        while not holds():  # noqa: ASYNC110  no event reports the state
            await asyncio.sleep(0.01)


async def newest_message(conversation: Conversation, matches: Callable[[Message], bool] = lambda _: True) -> Message:
    """Wait until the newest message that a client has of a conversation matches, and return it.

    A message of a user at another gateway arrives a moment after its sender's call has returned.
    """
    await eventually(lambda: (last := conversation.last_message) is not None and matches(last))
    assert conversation.last_message is not None
    return conversation.last_message

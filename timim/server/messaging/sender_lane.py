"""The order of one sender's messages at one node, also if some of them must be decided again.

A message is submitted to the store without an await after its decision, so the first decided is the first stored. If the store
reports that a message was decided from outdated entities, the messages that the same sender submitted behind it fail too, and
later ones wait until all failed ones were submitted again, in their order.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

ABANDONED_S = 5.0  # far longer than another attempt takes


class SenderLane:
    """The lane of one sender.

    Attributes:
        generation: Number of failures; a message that was submitted in an earlier generation must not be stored.
    """

    def __init__(self) -> None:
        self.generation = 0
        self._failed = 0  # messages that failed and were not submitted again
        self._mended = asyncio.Event()
        self._first_attempts = asyncio.Lock()
        self._further_attempts = asyncio.Lock()

    def fail(self) -> None:
        """Note that a message failed; `mend` is called for it later."""
        self.generation += 1
        self._failed += 1
        self._mended.clear()

    def mend(self) -> None:
        """Note that a failed message was submitted again, or that it will not be."""
        self._failed = max(0, self._failed - 1)
        if not self._failed:
            self._mended.set()

    @property
    def blocked(self) -> bool:
        """True while failed messages have to be submitted before others."""
        return self._failed > 0

    async def wait_until_mended(self) -> None:
        """Wait until no failed message has to be submitted first."""
        try:
            async with asyncio.timeout(ABANDONED_S):
                while self._failed:
                    await self._mended.wait()
        except TimeoutError:  # the request of a failed message was cancelled, for example because the server stops
            self._failed = 0
            self._mended.set()

    @asynccontextmanager
    async def turn(self, *, again: bool) -> AsyncIterator[None]:
        """Let one message at a time be decided; a message that failed is decided before those that did not."""
        async with self._further_attempts if again else self._first_attempts:
            if not again:
                await self.wait_until_mended()
            yield

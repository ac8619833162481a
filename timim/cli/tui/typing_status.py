"""The typing status of this user while the input changes."""

from __future__ import annotations

import asyncio

from timim import Conversation, ConversationType

IDLE_S = 5.0  # without a key for this long, the user has stopped


class TypingPulse:
    """The typing status for the peer of one conversation. `run()` lasts until `touch()` is not called any more."""

    def __init__(self) -> None:
        self._conversation: Conversation | None = None
        self._limit: asyncio.Timeout | None = None

    def touch(self, conversation: Conversation) -> bool:
        """Note a key, and return False if `run()` has to be started for this conversation."""
        if conversation.type is not ConversationType.C2C:
            return True  # only single users see the status
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time() + IDLE_S)
        running, self._conversation = self._conversation is conversation, conversation
        return running

    def stop(self) -> None:
        """Forget the conversation; its `run()` is cancelled by its owner."""
        self._conversation = self._limit = None

    async def run(self) -> None:
        """Send the status until the user has been idle; cancelling sends its end.

        Raises:
            NotLoggedIn: The client is not open.
        """
        conversation = self._conversation
        if conversation is None:
            return
        try:
            async with conversation.typing(), asyncio.timeout(IDLE_S) as limit:
                self._limit = limit
                await asyncio.Event().wait()
        except TimeoutError:
            self.stop()

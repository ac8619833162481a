"""What pushes tell besides entries: who has read, what is pinned or muted. Taken in one at a time, in the order they came."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from ..protocol import session
from .conversation_settings import Marking
from .push_router import Fact


class Facts:
    """`own` carries work on, under a name, while the client is logged in."""

    def __init__(self, marking: Marking, *, own: Callable[[Coroutine[Any, Any, None], str], object]) -> None:
        self._marking = marking
        self._own = own
        self._waiting: deque[Fact] = deque()

    def told(self, fact: Fact) -> None:
        """It is taken in behind those that wait."""
        self._waiting.append(fact)
        if len(self._waiting) == 1:
            self._own(self._take_in(), "timim facts")

    async def _take_in(self) -> None:
        while self._waiting:
            match self._waiting[0]:
                case session.ReadNotice() as read:
                    await self._marking.read_elsewhere(read)
                case session.ReceiptNotice() as receipt:
                    await self._marking.receipt(receipt)
                case session.ConversationSettingsNotice() as marks:
                    await self._marking.marked_elsewhere(marks)
            self._waiting.popleft()

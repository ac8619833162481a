"""The conversation list: pinned ones first, then the newest. Whoever has news of a conversation says where it stands now."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import overload

from .conversation import Conversation
from .ids import ConversationKey, ConversationType
from .storage import ConversationFlags


class ConversationList(Sequence[Conversation]):
    """The conversation list, pinned ones first, the newest first: `len`, index, iteration; local. Deleting while
    iterating is safe.
    """

    def __init__(self) -> None:
        self._listed: list[Conversation] = []  # by rising `_rank`: pinned ones, then the others, each by falling `_active`
        self._known: set[ConversationKey] = set()

    @overload
    def __getitem__(self, index: int) -> Conversation: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Conversation]: ...
    def __getitem__(self, index: int | slice) -> Conversation | Sequence[Conversation]:
        return self._listed[index]

    def __len__(self) -> int:
        return len(self._listed)

    def __iter__(self) -> Iterator[Conversation]:
        return iter(tuple(self._listed))

    def __contains__(self, conversation: object) -> bool:
        return isinstance(conversation, Conversation) and conversation.key in self._known

    def _load(self, listed: Sequence[tuple[Conversation, int, tuple[int, int]]]) -> None:
        """The whole list at once, the newest first: each with its time, and what is unread."""
        for conversation, time, unread in listed:
            conversation._active = time
            conversation.unread, conversation.mentioned = unread
        self._listed = sorted((conversation for conversation, _, _ in listed), key=lambda one: one._rank)
        self._known = {conversation.key for conversation in self._listed}

    def _place(self, conversation: Conversation, time: float) -> None:
        """It was spoken in at this server time: where it stands among the others, before those of the same second."""
        if self._listed and self._listed[0] is conversation:
            conversation._active = max(time, conversation._active)  # it stays the first
            return
        self._drop(conversation)
        conversation._active = max(time, conversation._active)
        self._listed.insert(self._at(conversation), conversation)
        self._known.add(conversation.key)

    def _place_first(self, conversation: Conversation) -> None:
        """It was spoken in just now, by a clock that may be wrong."""
        if self._listed and self._listed[0] is conversation:
            return
        unpinned = bisect_left(self._listed, (True, -math.inf), key=lambda other: other._rank)
        newest = (*self._listed[:1], *self._listed[unpinned : unpinned + 1])
        self._place(conversation, max((other._active for other in newest), default=0.0))

    def _mark(self, conversation: Conversation, marks: ConversationFlags) -> None:
        """It was pinned, muted, got a draft, or is no more so."""
        listed = conversation in self
        self._drop(conversation)
        conversation._set(marks)
        if listed:
            self._place(conversation, 0.0)

    def _drop(self, conversation: Conversation) -> None:
        if conversation.key in self._known:
            self._known.discard(conversation.key)
            at = self._at(conversation)
            while self._listed[at] is not conversation:
                at += 1
            del self._listed[at]

    def _at(self, conversation: Conversation) -> int:
        return bisect_left(self._listed, conversation._rank, key=lambda other: other._rank)

    def _newest_c2c(self) -> ConversationKey | None:
        return next((c.key for c in self._listed if c.type is ConversationType.C2C), None)

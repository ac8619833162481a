"""The conversation list: pinned conversations first, then the newest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

from .conversation import Conversation, ConversationRegistry
from .engine.conversations import ConversationIndex
from .util.displayed import Displayed

__all__ = ["ConversationList"]


class ConversationList(Displayed, Sequence[Conversation]):
    """Sequence of the listed conversations, pinned ones first, then the newest first; reading does no I/O.

    Conversations can be deleted during an iteration.
    """

    def __init__(self, index: ConversationIndex, registry: ConversationRegistry) -> None:
        self._index = index
        self._registry = registry

    @overload
    def __getitem__(self, index: int) -> Conversation: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Conversation]: ...
    def __getitem__(self, index: int | slice) -> Conversation | Sequence[Conversation]:
        if isinstance(index, slice):
            return [self._registry.of(state) for state in self._index.listed[index]]
        return self._registry.of(self._index.listed[index])

    def __len__(self) -> int:
        return len(self._index.listed)

    def __iter__(self) -> Iterator[Conversation]:
        return iter([self._registry.of(state) for state in self._index.listed])

    def __contains__(self, conversation: object) -> bool:
        return isinstance(conversation, Conversation) and self._index.is_listed(conversation.key)

    def __repr__(self) -> str:
        unread = sum(conversation.unread for conversation in self)
        return f"<ConversationList {len(self)} conversations, {unread} unread>"

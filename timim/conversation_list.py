"""The conversation list, pinned conversations first, then the newest; and labels of conversations.

All devices of an account share its labels: marks, custom data and conversation groups. No other account sees them.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import overload

from .conversation import Conversation, ConversationRegistry
from .engine.engine import Engine
from .errors import InvalidArgument, error_for
from .ids import ConversationKey, ConversationType
from .protocol import labels as wire
from .protocol.conversation_list import ConversationName
from .transport.connection import Connection
from .util.arguments import Items, Number, Text, checked
from .util.displayed import Displayed

__all__ = ["ConversationLabels", "ConversationList", "ConversationMark", "Labels"]


class ConversationMark(enum.IntEnum):
    """Marks that Tencent IM has a meaning for. Marks 32 to 63 have the meaning that a program gives them."""

    STAR = 0
    UNREAD = 1
    FOLD = 2
    HIDE = 3


@dataclass(frozen=True, slots=True)
class Labels(Displayed):
    """Labels of one conversation: numbers of marks, custom data, and names of conversation groups."""

    marks: frozenset[int] = frozenset()
    custom_data: str = ""
    groups: frozenset[str] = frozenset()


@checked(InvalidArgument)
class ConversationLabels(Displayed):
    """Labels of this account's conversations: `client.conversations.labels`. They are stored at the server, and queried there.

    The other devices of the account that are online get each change as LabelsChanged or ConversationGroupsChanged. Up to 100
    conversations can be changed by one call; those before a failed one may be changed.

    Raises:
        InvalidArgument: An argument is wrong or over a limit; there is no such group, or there is one already (50002).
        UnknownUser: The peer of a conversation does not exist (20003).
        NoPermission: This account is not in the group of a conversation (10007).
        LimitReached: There are 20 groups, or labels on too many conversations (10014).
        NetworkError: The server did not answer; call again.
        NotLoggedIn: The client is not logged in.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def get(self, conversations: Items[Conversation]) -> Mapping[ConversationKey, Labels]:
        """Fetch the labels of up to 100 conversations.

        Raises:
            InvalidArgument: There are more than 100 conversations (50002).
        """
        body = wire.SearchLabelsRequest(conversations=_names(conversations))
        reply = await self._connection.call(wire.SEARCH_LABELS, body)
        return dict(labels_in(reply.items, reply.groups))

    async def all(self) -> Mapping[ConversationKey, Labels]:
        """Fetch the labels of all conversations that have some.

        Raises:
            NetworkError: The server did not answer; call again.
            NotLoggedIn: The client is not logged in.
        """
        found: dict[ConversationKey, Labels] = {}
        start = 0
        while True:
            reply = await self._connection.call(wire.LIST_LABELS, wire.ListLabelsRequest(start=start))
            found |= dict(labels_in(reply.items, reply.groups))
            if reply.complete_flag or reply.next_start <= start:
                return found
            start = reply.next_start

    async def mark(self, conversations: Items[Conversation], mark: Number, *, on: bool = True) -> None:
        """Set a mark of conversations, or clear it.

        Args:
            conversations: 1 to 100 conversations.
            mark: A ConversationMark, or a number up to 63.
            on: False clears the mark.

        Raises:
            TimimError: The errors of the class.
        """
        numbers = [int(mark)]
        items = [
            wire.MarkItem(conversation=name, set=numbers if on else [], cleared=[] if on else numbers)
            for name in _names(conversations)
        ]
        _raise_first((await self._connection.call(wire.MARK, wire.MarkRequest(items=items))).items)

    async def set_custom_data(self, conversations: Items[Conversation], data: Text) -> None:
        """Replace the custom data of conversations; "" removes it.

        Args:
            conversations: 1 to 100 conversations.
            data: Text of up to 256 bytes.

        Raises:
            TimimError: The errors of the class.
        """
        items = [wire.MarkItem(operation=wire.CUSTOM, conversation=name, custom=data) for name in _names(conversations)]
        _raise_first((await self._connection.call(wire.MARK, wire.MarkRequest(items=items))).items)

    async def groups(self) -> tuple[str, ...]:
        """Fetch the names of the conversation groups, the oldest first.

        Raises:
            NetworkError: The server did not answer; call again.
            NotLoggedIn: The client is not logged in.
        """
        reply = await self._connection.call(wire.SEARCH_LABELS, wire.SearchLabelsRequest())
        return tuple(group.name for group in reply.groups)

    async def create_group(self, name: Text, conversations: Items[Conversation] = ()) -> None:
        """Create a conversation group of 1 to 32 bytes with up to 100 conversations.

        Raises:
            TimimError: The errors of the class.
        """
        item = wire.NewConversationGroup(name=name, conversations=_names(conversations))
        reply = await self._connection.call(wire.CREATE_GROUPS, wire.CreateConversationGroupsRequest(items=[item]))
        for created in reply.items:
            _raise_first(created.results)

    async def rename_group(self, old: Text, new: Text) -> None:
        """Rename a conversation group; its conversations stay in it.

        Raises:
            InvalidArgument: There is no group `old`, or there is a group `new` (50002).
        """
        change = wire.ConversationGroupChange(name=old, new_name=new)
        await self._connection.call(wire.UPDATE_GROUP, wire.UpdateConversationGroupRequest(change=change))

    async def delete_group(self, name: Text) -> None:
        """Delete a conversation group; its conversations stay.

        Raises:
            InvalidArgument: There is no such group (50002).
        """
        await self._connection.call(wire.DELETE_GROUPS, wire.DeleteConversationGroupsRequest(names=[name]))

    async def add_to_group(self, name: Text, conversations: Items[Conversation]) -> None:
        """Put 1 to 100 conversations into a group.

        Raises:
            TimimError: The errors of the class.
        """
        await self._fill(name, conversations, wire.ADD)

    async def remove_from_group(self, name: Text, conversations: Items[Conversation]) -> None:
        """Take 1 to 100 conversations out of a group.

        Raises:
            InvalidArgument: There is no such group (50002).
        """
        await self._fill(name, conversations, wire.REMOVE)

    async def _fill(self, name: str, conversations: Items[Conversation], operation: int) -> None:
        members = [wire.GroupMemberChange(operation=operation, conversation=one) for one in _names(conversations)]
        change = wire.ConversationGroupChange(type=wire.MEMBERS, name=name, members=members)
        reply = await self._connection.call(wire.UPDATE_GROUP, wire.UpdateConversationGroupRequest(change=change))
        _raise_first(reply.result.results)


def labels_in(
    items: Sequence[wire.LabelsItem], groups: Sequence[wire.ConversationGroup]
) -> Iterator[tuple[ConversationKey, Labels]]:
    """Yield the conversations of a reply with their labels."""
    for item in items:
        yield item.key, Labels(wire.marks_of(item.marks), item.custom, item.group_names(groups))


def _names(conversations: Items[Conversation]) -> list[ConversationName]:
    """Return the names of conversations on the wire. Raises InvalidArgument."""
    names = []
    for one in conversations:
        if one.type is ConversationType.SYSTEM:
            raise InvalidArgument("conversations: the system conversation has no labels")
        group = one.type is ConversationType.GROUP
        name = ConversationName(type=one.type, to_account="" if group else one.peer, group_id=one.peer if group else "")
        names.append(name)
    return names


def _raise_first(results: Sequence[wire.LabelResult]) -> None:
    for result in results:
        if result.code:
            raise error_for(result.code, result.info)


@checked(InvalidArgument)
class ConversationList(Displayed, Sequence[Conversation]):
    """Sequence of the listed conversations, pinned ones first, then the newest first; reading does no I/O.

    Conversations can be deleted during an iteration. `labels` has the marks, custom data and groups of conversations.
    """

    def __init__(self, engine: Engine, registry: ConversationRegistry) -> None:
        self._index = engine.conversations
        self._registry = registry
        self._deletions = engine.settings.deletions
        self._labels = ConversationLabels(engine.connection)

    @property
    def labels(self) -> ConversationLabels:
        """Marks, custom data and conversation groups."""
        return self._labels

    async def clear_history(self, conversation: Conversation) -> None:
        """Delete all messages of a conversation up to now at the server, for this account alone, on all of its devices.

        The conversation stays in the list. Messages that were not sent stay too. Other devices get HistoryCleared, with their
        next login if they are offline. Calling again after an error changes nothing else.

        Args:
            conversation: A conversation with a user or a group.

        Raises:
            InvalidArgument: The conversation is that of the notices of the server.
            NotAMember: This account is not in the group.
            NetworkError: The server did not answer; call again.
            NotLoggedIn: The client is not logged in.
            StorageError: The local store failed; the next login deletes the messages here.
        """
        await self._deletions.clear(conversation.key)

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

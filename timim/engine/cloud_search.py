"""Searches at the server, which has more history than this device, and users and groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..elems import TextElem
from ..errors import InvalidArgument
from ..ids import ConversationKey, ConversationType, GroupId, UserId
from ..protocol import cloud_search as wire
from ..protocol.codec import decode
from ..protocol.elems import decode_body
from ..protocol.entries import Entry
from ..protocol.profiles import FACE, NICK
from ..protocol.searchable import parse_query
from ..transport.connection import Connection
from ..util.arguments import Items, Number, Text, Timestamp, checked
from ..util.displayed import Displayed

__all__ = ["CloudPage", "CloudSearch", "FoundGroup", "FoundMember", "FoundMessage", "FoundUser"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FoundMessage(Displayed):
    """A message that the server found. Its conversation has `count` such messages; `timestamp` is in server seconds."""

    conversation: ConversationKey
    seq: int
    sender: str
    timestamp: int
    text: str
    count: int


@dataclass(frozen=True, slots=True)
class FoundUser(Displayed):
    """A user whom the server found, with nickname and picture."""

    user_id: str
    nickname: str
    face_url: str


@dataclass(frozen=True, slots=True)
class FoundGroup(Displayed):
    """A group of this account that the server found."""

    group_id: str
    type: str
    name: str
    owner: str
    members: int


@dataclass(frozen=True, slots=True)
class FoundMember(Displayed):
    """A member of a group of this account, whom the server found."""

    group_id: str
    user_id: str
    name_card: str
    nickname: str


@dataclass(frozen=True, slots=True)
class CloudPage(Generic[T]):
    """A page of the `total` results. Pass `next` as `after=` for the next page, unless it is empty."""

    items: tuple[T, ...]
    total: int
    next: str


@checked(InvalidArgument)
class CloudSearch(Displayed):
    """Searches at the server: `client.cloud_search`. All words of a search must be found; there may be up to 5.

    All methods share these errors.

    Raises:
        InvalidArgument: The search has no words or more than 5.
        RateLimited: The server is indexing old messages; search again after `retry_after`.
        NetworkError: The server did not answer; call again.
        NotLoggedIn: The client is not logged in.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def messages(
        self,
        words: Text,
        *,
        conversation: ConversationKey | None = None,
        sender: UserId | None = None,
        since: Timestamp | None = None,
        until: Timestamp | None = None,
        count: Number = 20,
        after: Text = "",
    ) -> CloudPage[FoundMessage]:
        """Search the messages that this account may read, newest first; the rules for words are those of `client.search`.

        Args:
            words: The words, each of which must be found; `begin*` finds words that begin so.
            conversation: The key of the conversation, such as `conversation.key`. None searches the newest 1000 conversations,
                and the page has the newest found message of each.
            sender: Only messages of this user.
            since: Only messages of this time or later.
            until: Only messages of this time or earlier.
            count: Number of results, up to 100.
            after: `next` of the page before.

        Raises:
            InvalidArgument: The search has no words or more than 5.
            RateLimited: The server is indexing old messages; search again after `retry_after`.
        """
        group = conversation is not None and conversation.type is ConversationType.GROUP
        peer = conversation.peer if conversation is not None else ""
        body = wire.SearchMessagesRequest(
            keywords=_words(words),
            match="and",
            peer="" if group else peer,
            group_id=peer if group else "",
            senders=[sender] if sender else [],
            since=int(since or 0),
            until=int(until or 0),
            count=int(count),
            cursor=after,
        )
        reply = await self._connection.call(wire.SEARCH_MESSAGES, body)
        found = tuple(message for one in reply.conversations for message in _messages_of(one))
        return CloudPage(found, reply.total, reply.cursor)

    async def users(self, words: Text, *, count: Number = 20, after: Text = "") -> CloudPage[FoundUser]:
        """Search all users of the app by parts of their ids and nicknames.

        Raises:
            InvalidArgument: The search has no words or more than 5.
        """
        body = wire.SearchUsersRequest(keywords=_words(words), every=1, count=int(count), cursor=after)
        reply = await self._connection.call(wire.SEARCH_USERS, body)
        found: list[FoundUser] = []
        for user in reply.users:
            profile = {field.tag: field.value for field in user.profile}
            found.append(FoundUser(user.user_id, profile.get(NICK, ""), profile.get(FACE, "")))
        return CloudPage(tuple(found), reply.total, reply.cursor)

    async def groups(self, words: Text, *, count: Number = 20, after: Text = "") -> CloudPage[FoundGroup]:
        """Search the groups of this account by parts of their ids and names.

        Raises:
            InvalidArgument: The search has no words or more than 5.
        """
        body = wire.SearchGroupsRequest(keywords=_words(words), every=1, count=int(count), cursor=after)
        reply = await self._connection.call(wire.SEARCH_GROUPS, body)
        found = tuple(FoundGroup(one.group_id, one.type, one.name, one.owner, one.members) for one in reply.groups)
        return CloudPage(found, reply.total, reply.cursor)

    async def members(
        self, words: Text, *, groups: Items[GroupId] = (), count: Number = 20, after: Text = ""
    ) -> CloudPage[FoundMember]:
        """Search the members of up to 50 groups of this account, or of all, by parts of their ids, cards and nicknames.

        Raises:
            InvalidArgument: The search has no words or more than 5, or there are more than 50 groups.
        """
        body = wire.SearchMembersRequest(
            keywords=_words(words), every=1, group_ids=list(groups), count=int(count), cursor=after
        )
        reply = await self._connection.call(wire.SEARCH_MEMBERS, body)
        found = tuple(FoundMember(one.group_id, one.user_id, one.name_card, one.nick) for one in reply.members)
        return CloudPage(found, reply.total, reply.cursor)


def _words(text: str) -> list[str]:
    words = parse_query(text)
    if len(words) > wire.KEYWORDS_LIMIT:
        raise InvalidArgument(f"a search at the server has at most {wire.KEYWORDS_LIMIT} words; this one has {len(words)}")
    return list(words)


def _messages_of(found: wire.FoundConversation) -> Sequence[FoundMessage]:
    group = bool(found.group_id)
    key = ConversationKey(ConversationType.GROUP if group else ConversationType.C2C, found.group_id or found.user_id)
    messages: list[FoundMessage] = []
    for raw in found.messages:
        entry = decode(Entry, raw)
        text = "".join(elem.text for elem in decode_body(entry.msg_body) if isinstance(elem, TextElem))
        messages.append(FoundMessage(key, entry.timeline_seq, entry.from_account, entry.msg_time, text, found.count))
    return messages

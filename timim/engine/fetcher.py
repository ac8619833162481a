"""Requests for history. A reply names an interval of seqs, and has an entry or a tombstone for each seq of this interval."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TypeVar

import msgspec

from ..errors import AuthError, NotLoggedIn, ProtocolError, ServerRefused, TimimError
from ..ids import SYSTEM_CONVERSATION, ConversationKey, ConversationType
from ..protocol import conversation_list as contact_wire
from ..protocol import message_actions as action_wire
from ..protocol import messages as wire
from ..protocol.codec import Reply, Request, decode
from ..protocol.coverage import Coverage, Interval
from ..protocol.entries import Entry
from ..protocol.session import ReceiptNotice
from ..storage import ANY_SEQ
from ..transport.connection import Connection

log = logging.getLogger(__name__)
R = TypeVar("R", bound=Reply)
S = TypeVar("S", bound=msgspec.Struct)
PAGE = 200  # entries of one request; the server may return fewer
MOVES_LIMIT = 3  # of the first visible seq during one fetch: each rejoining of a group moves it once
EMPTY_LIMIT = 1000  # replies without a message or an action, one after the other: 200,000 deleted entries
CONVERSATIONS_LIMIT = 100_000  # in one list


@dataclass(frozen=True, slots=True)
class ProvenEntries:
    """Entries newest first, one for each seq of `covered` but the undecodable ones; `covered` is None if it is empty."""

    entries: Sequence[Entry]
    covered: Interval | None
    first_visible_seq: int
    last_seq: int
    undecodable: Sequence[int] = ()

    @property
    def intervals(self) -> list[Interval]:
        """The covered intervals without the seqs of undecodable entries, which remain gaps."""
        if self.covered is None:
            return []
        if not self.undecodable:
            return [self.covered]
        held = Coverage([self.covered])
        for seq in self.undecodable:
            held = held.remove(seq, seq)
        return list(held)


_numbers_of = attrgetter(*(name for name, kind in contact_wire.ConversationItem.__annotations__.items() if kind == "Int"))


@dataclass(slots=True)
class ConversationChanges:
    """Conversations and receipts that changed since a sync, and the `since` to send with the next request.

    `malformed` has the conversations whose items cannot be decoded. `unnamed` is an error of an item without a name, or of
    a list that does not end. `deletions` is the last number of the log of deletions.
    """

    items: dict[ConversationKey, contact_wire.ConversationItem] = field(default_factory=dict)
    since: int = 0
    receipts: list[ReceiptNotice] = field(default_factory=list)
    malformed: dict[ConversationKey, ProtocolError] = field(default_factory=dict)
    unnamed: ProtocolError | None = None
    deletions: int = 0

    def add(self, raw: msgspec.Raw) -> None:
        """Add an item of the list; a conversation with a message between two requests is listed twice."""
        try:
            contact = decode(contact_wire.ConversationItem, raw)
            if max(map(abs, _numbers_of(contact))) >= ANY_SEQ:
                raise ProtocolError("a number of the conversation is too large to be stored")
        except ProtocolError as exc:
            self._add_malformed(raw, exc)
            return
        key = key_of(contact)
        if key not in self.items or self.items[key].last_seq <= contact.last_seq:
            self.items[key] = contact

    def _add_malformed(self, raw: msgspec.Raw, error: ProtocolError) -> None:
        try:
            self.malformed[key_of(decode(contact_wire.ConversationName, raw))] = error
        except TimimError:
            self.unnamed = error


class EmptyReplies:
    """A count of replies that have no message and no action, so that an endless history of deleted entries ends in an error."""

    def __init__(self) -> None:
        self._count = 0

    def add(self, entries: Sequence[Entry]) -> None:
        """Count a reply.

        Raises:
            ProtocolError: EMPTY_LIMIT replies in a row have neither a message nor an action.
        """
        self._count = 0 if any(not entry.tombstone for entry in entries) else self._count + 1
        if self._count >= EMPTY_LIMIT:
            raise ProtocolError(f"{self._count} replies in a row have no message; the history goes on when it is read again")


class Fetcher:
    """Sends the requests for history and for the conversation list."""

    def __init__(self, connection: Connection, *, timeout_s: float) -> None:
        self._connection = connection
        self._timeout_s = timeout_s

    @property
    def online(self) -> bool:
        """True if there is a connection at this moment."""
        return self._connection.online

    def check_online(self) -> None:
        """Raise NotLoggedIn or ConnectionFailed if there is no connection at this moment."""
        self._connection.link()

    async def _ask(self, request: Request[R]) -> R:
        """Send a request. A refusal that names the login concerns this request alone while the connection is logged in."""
        try:
            return await self._connection.link().send(request, timeout_s=self._timeout_s)
        except (AuthError, NotLoggedIn) as exc:
            if not self._connection.online:
                raise
            raise ServerRefused(exc.info, code=exc.code) from exc

    async def fetch_newest(
        self, key: ConversationKey, first: int, last: int, count: int = PAGE, *, until: int = 0
    ) -> ProvenEntries:
        """Fetch the newest `count` entries of an interval, or of its part up to the server time `until`.

        If their reply is too long for one websocket message, fewer entries are fetched.

        Raises:
            NetworkError: The server cannot be reached.
            NotLoggedIn: The client is logged out.
            ServerRefused: The account may not read this conversation.
            ProtocolError: The reply does not have one entry for each seq of an interval.
        """
        while True:
            request = wire.Address.of(key).history_request(first, last, count, until=until)
            try:
                reply = await self._ask(request)
            except ServerRefused as exc:
                if exc.code != wire.REPLY_TOO_LONG or count <= 1:
                    raise
                count //= 2
            else:
                return _proven(reply, reply.messages, first, last)

    async def fetch_upward(self, key: ConversationKey, first: int, last: int) -> AsyncIterator[ProvenEntries]:
        """Yield an interval in parts without gaps, oldest first, without the seqs that this account may not see."""
        size, moves, empty = PAGE, 0, EmptyReplies()
        while first <= last:
            part = await self.fetch_newest(key, first, min(last, first + size - 1), size)
            if part.covered is None:
                if not first < part.first_visible_seq <= last:
                    return
                first = part.first_visible_seq
                moves += 1
                if moves > MOVES_LIMIT:
                    raise ProtocolError(f"the server moved the first visible seq {moves} times without an entry")
                continue
            if part.covered.first > max(first, part.first_visible_seq):
                size = part.covered.size  # the server returned its maximum: ask for that many
                continue
            yield part
            empty.add(part.entries)
            size = min(PAGE, size * 2)
            first = part.covered.last + 1

    async def fetch_downward(self, key: ConversationKey, gap: Interval) -> AsyncIterator[ProvenEntries]:
        """Yield an interval in parts without gaps, newest first."""
        last, empty = gap.last, EmptyReplies()
        while last >= gap.first:
            part = await self.fetch_newest(key, gap.first, last)
            yield part
            if part.covered is None:
                return
            empty.add(part.entries)
            last = part.covered.first - 1

    async def fetch_actions(self, key: ConversationKey, first: int, last: int) -> AsyncIterator[tuple[list[Entry], int]]:
        """Yield a group's message actions in parts, oldest first, each part with the seq up to which it is complete."""
        empty = EmptyReplies()
        while first <= last:
            body = action_wire.GetMessageActionsRequest(group_id=key.peer, timeline_range=(first, last))
            reply = await self._ask(action_wire.GET_MESSAGE_ACTIONS.request(body))
            up_to = reply.timeline_range[1]
            if not first <= up_to <= last:
                raise ProtocolError(f"the reply covers actions up to seq {up_to}, outside the interval {first} to {last}")
            actions = _decodable(Entry, reply.actions)
            yield actions, up_to
            empty.add(actions)
            first = up_to + 1

    async def fetch_conversations(self, *, since: int) -> ConversationChanges:
        """Fetch the conversations that changed since a sync, each with its last message; `since` 0 fetches all.

        Raises:
            NetworkError: The server cannot be reached.
            NotLoggedIn: The client is logged out.
            ServerRefused: The server refuses the request.
            ProtocolError: A reply cannot be decoded.
        """
        changed = ConversationChanges()
        start = listed = 0
        while True:
            body = contact_wire.ListConversationsRequest(start_index=start, messages=1, since=since)
            reply = await self._ask(contact_wire.FETCH_CONVERSATIONS.request(body))
            for raw in reply.items:
                changed.add(raw)
            changed.receipts += _decodable(ReceiptNotice, reply.receipts)
            changed.since = changed.since or reply.since
            changed.deletions = max(changed.deletions, reply.deletions)
            if reply.complete_flag or reply.start_index <= start:
                return changed
            start = reply.start_index
            listed += len(reply.items)
            if not reply.items or listed > CONVERSATIONS_LIMIT:
                error = ProtocolError(f"the server's conversation list does not end after {listed} conversations")
                changed.unnamed = changed.unnamed or error
                return changed


def _proven(reply: wire.RangeReply, messages: list[msgspec.Raw], first: int, last: int) -> ProvenEntries:
    covered = reply.timeline_range
    if isinstance(covered, msgspec.UnsetType):
        raise ProtocolError("the server's reply does not name the interval that it covers")
    first_visible_seq, last_seq = reply.timeline_floor, reply.timeline_last_seq
    if covered[0] > covered[1]:
        return ProvenEntries((), None, first_visible_seq, last_seq)
    seqs = range(covered[1], covered[0] - 1, -1)
    decoded = [_decoded(raw) for raw in messages]
    if (
        covered[0] < first
        or covered[1] > last
        or len(decoded) != len(seqs)
        or any(entry is not None and entry.timeline_seq != seq for entry, seq in zip(decoded, seqs, strict=True))
    ):
        raise ProtocolError(f"the server's reply has no entry for a seq of {covered}, or covers more than {(first, last)}")
    entries = [entry for entry in decoded if entry is not None]
    undecodable = [seq for entry, seq in zip(decoded, seqs, strict=True) if entry is None] if len(entries) < len(seqs) else []
    return ProvenEntries(entries, Interval(*covered), first_visible_seq, last_seq, undecodable)


def _decodable(kind: type[S], raws: Iterable[msgspec.Raw]) -> list[S]:
    """Return those of the values that can be decoded."""
    found: list[S] = []
    for raw in raws:
        try:
            found.append(decode(kind, raw))
        except ProtocolError as exc:
            log.warning("skipped a %s of the server, which cannot be decoded: %s", kind.__name__, exc)
    return found


def _decoded(raw: msgspec.Raw) -> Entry | None:
    """Decode an entry; return None if it cannot be decoded."""
    try:
        return decode(Entry, raw)
    except ProtocolError:
        return None


def key_of(contact: contact_wire.ConversationItem | contact_wire.ConversationName) -> ConversationKey:
    """Return the conversation of an item of the conversation list."""
    if contact.type == contact_wire.TYPE_GROUP:
        return ConversationKey(ConversationType.GROUP, contact.group_id)
    if contact.type == contact_wire.TYPE_SYSTEM:
        return SYSTEM_CONVERSATION
    return ConversationKey(ConversationType.C2C, contact.to_account)

"""Reader of timelines, in pages of rendered entries.

A user gets neither messages below the first seq that the user may see, nor actions on them. A page that is too large for one
reply loses its oldest entries, which the client requests next.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from ...errors import UnknownMessage, UnknownUser
from ...ids import ConversationKey, ConversationType
from ...protocol.entries import (
    EntryAction,
    EntryPayload,
    audience_of,
    decode_payload,
    life_of,
    render_entry,
    render_expired,
    render_placeholder,
    render_tombstone,
)
from ..social.entity_cache import EntityCache
from ..store.base import ACTION, TARGETED, Store, StoredEntry, TimelinePage, c2c_timeline, timeline_of

PAGE_LIMIT_BYTES = 512 * 1024  # 8 pages at once leave room for pushes in the queue of a session
_FOR_SOME = (ACTION, TARGETED)  # kinds of entries that some users may not see


class HistoryPage(msgspec.Struct, frozen=True, gc=False):
    """A page of history.

    Attributes:
        entries: Rendered entries, newest first; a message or a tombstone for each seq from `first` to `last`.
        stored: The stored entries, newest first.
        floor: The first seq that the user may see.
        last_seq: The last seq of the timeline.
    """

    entries: list[msgspec.Raw]
    stored: list[StoredEntry]
    first: int
    last: int
    floor: int
    last_seq: int


class HistoryReader:
    """Reads the parts of C2C, group and system timelines that a user may see."""

    def __init__(self, store: Store, entities: EntityCache, *, now: Callable[[], float]) -> None:
        self._store = store
        self._entities = entities
        self._now = now

    async def page(
        self, user: str, key: ConversationKey, first: int, last: int, limit: int, *, until: int = 0, plain: bool = False
    ) -> HistoryPage:
        """Return the newest entries of an interval that a user may see.

        Args:
            user: The user who reads.
            key: The conversation.
            first: First seq of the interval.
            last: Last seq of the interval.
            limit: Maximum number of entries.
            until: If not 0, return only entries that are older than this time, in seconds since 1970.
            plain: Replace actions by placeholders, for clients that do not support them.

        Raises:
            UnknownGroup: The group does not exist.
            NotAMember: The user is not in the group.
        """
        floor, group = 1, key.type is ConversationType.GROUP
        if group:
            floor = (await self._entities.group_for(user, key.peer)).first_visible_seq(user)
        timeline = timeline_of(user, key)
        last = await self._last_until(timeline, last, until)
        page = await self._store.timelines.page(timeline, max(first, floor), last, limit, reader=await self._reader(user))
        return self._rendered(page, user, group=group, floor=floor, plain=plain)

    async def message(self, user: str, key: ConversationKey, seq: int) -> tuple[EntryPayload, int]:
        """Return a message that a user may see, and its time.

        Raises:
            UnknownMessage: There is none with this seq (10030).
            UnknownGroup: The group does not exist.
            NotAMember: The user is not in the group.
        """
        group, timeline, floor = key.type is ConversationType.GROUP, timeline_of(user, key), 1
        if group:
            floor = (await self._entities.group_for(user, key.peer)).first_visible_seq(user)
        reader = await self._reader(user)
        found = await self._store.timelines.entry(timeline, seq, reader=reader) if floor <= seq < 1 << 63 else None
        if found is None or found.kind == ACTION or (group and is_hidden(found, user)):
            raise UnknownMessage(f"the conversation has no message with seq {seq} that {user!r} may see")
        return decode_payload(found.tail), found.time

    async def c2c_messages(self, user: str, peer: str, first: int, last: int, limit: int) -> HistoryPage:
        """Return the newest `limit` messages of an interval without actions, for clients that do not support actions."""
        timeline = c2c_timeline(user, peer)
        reader = await self._reader(user)
        page = _fitting(await self._store.timelines.messages_before(timeline, last, first, limit, reader=reader))
        entries = [self.render(entry, group=False) for entry in page.entries]
        return HistoryPage(entries, list(page.entries), page.first, page.last, page.floor, page.last_seq)

    def _rendered(self, page: TimelinePage, user: str, *, group: bool, floor: int, plain: bool) -> HistoryPage:
        """Render a page, without its oldest entries if all are larger than PAGE_LIMIT_BYTES.

        An entry that the user has deleted is missing in the page, so it is rendered as a tombstone.
        """
        page, floor = _fitting(page), max(floor, page.floor)
        entries: list[msgspec.Raw] = []
        gone = render_placeholder if plain else render_tombstone
        expected = page.last
        for entry in page.entries:
            if expected > entry.seq:
                entries.extend(gone(seq) for seq in range(expected, entry.seq, -1))
            hidden = entry.kind == ACTION and (plain or (floor > 1 and target_of(entry) < floor))
            hidden = hidden or (entry.kind in _FOR_SOME and is_hidden(entry, user))
            entries.append(gone(entry.seq) if hidden else self.render(entry, group=group))
            expected = entry.seq - 1
        entries.extend(gone(seq) for seq in range(expected, page.first - 1, -1))
        return HistoryPage(entries, list(page.entries), page.first, page.last, floor, page.last_seq)

    def render(self, entry: StoredEntry, *, group: bool) -> msgspec.Raw:
        """Render a message as pages of history have it."""
        if self.is_expired(entry):
            return render_expired(entry.tail, seq=entry.seq, time=entry.time, group=group)
        return render_entry(entry.tail, seq=entry.seq, time=entry.time, group=group)

    def is_expired(self, entry: StoredEntry) -> bool:
        """Return True if the entry has a `MsgLifeTime` that is over: a device that was offline does not get it as new."""
        return 0 < life_of(entry.tail) <= self._now() - entry.time

    async def _reader(self, user: str) -> str:
        """Return the user whose deletions and first visible seq a page obeys; "" if the account was deleted.

        An administrator can read a conversation of a deleted account.
        """
        try:
            await self._entities.account(user)
        except UnknownUser:
            return ""
        return user

    async def seq_before(self, user: str, peer: str, time: int, msg_key: str) -> int:
        """Return the last C2C seq before the message with this time and MsgKey."""
        return await self._store.timelines.seq_before(c2c_timeline(user, peer), time, msg_key)

    async def _last_until(self, timeline: str, last: int, until: int) -> int:
        return min(last, await self._store.timelines.seq_before(timeline, until, "")) if until else last


def _fitting(page: TimelinePage) -> TimelinePage:
    size = 0
    for count, entry in enumerate(page.entries):
        size += len(entry.tail)
        if size > PAGE_LIMIT_BYTES and count:
            return replace(page, entries=page.entries[:count], first=page.entries[count - 1].seq)
    return page


def is_hidden(entry: StoredEntry, user: str) -> bool:
    """Return True if an entry is a message to other members of a group, or an action on a message that the user never got."""
    if entry.kind not in _FOR_SOME:
        return False
    audience = audience_of(entry.tail)
    return bool(audience) and user not in audience


def target_of(entry: StoredEntry) -> int:
    """Return the seq of the message that an action's entry changes, or 0 for other entries.

    A user who may not see that message may not see the action.
    """
    act = decode_payload(entry.tail).action
    return act.target if isinstance(act, EntryAction) else 0

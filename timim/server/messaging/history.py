"""Reading timelines, as pages of rendered entries.

Nobody gets what is below their floor, nor an act on it; what is too large for one reply is cut at its old end.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from ...ids import ConversationKey, ConversationType
from ...protocol.entries import EntryAction, decode_payload, render_entry, render_placeholder, render_tombstone
from ..social.entity_cache import EntityCache
from ..store.base import ACTION, Store, StoredEntry, TimelinePage, c2c_timeline, timeline_of

PAGE_LIMIT_BYTES = 512 * 1024  # of entries in one reply: 8 pages at once still leave room for pushes in a session's queue


class HistoryPage(msgspec.Struct, frozen=True, gc=False):
    """Rendered entries, newest first, a message or a tombstone for each seq of `first` to `last`."""

    entries: list[msgspec.Raw]
    stored: list[StoredEntry]
    first: int
    last: int
    floor: int
    last_seq: int


class HistoryReader:
    """What a user may read of C2C, group and system timelines."""

    def __init__(self, store: Store, entities: EntityCache) -> None:
        self._store = store
        self._entities = entities

    async def page(
        self, user: str, key: ConversationKey, first: int, last: int, limit: int, *, until: int = 0, plain: bool = False
    ) -> HistoryPage:
        """Return the newest `limit` entries of an interval, or of its part up to a time, from where the user may read on.

        `plain`: for clients that know no actions; a placeholder stands for each. Raises UnknownGroup, NotAMember.
        """
        floor, group = 1, key.type is ConversationType.GROUP
        if group:
            floor = (await self._entities.group_for(user, key.peer)).members[user].floor
        timeline = timeline_of(user, key)
        last = await self._last_until(timeline, last, until)
        page = await self._store.timelines.page(timeline, max(first, floor), last, limit)
        return _rendered(page, group=group, floor=floor, plain=plain)

    async def c2c_messages(self, user: str, peer: str, first: int, last: int, limit: int) -> HistoryPage:
        """Return the newest `limit` messages of an interval without actions, for clients that do not know these."""
        page = await self._store.timelines.messages_before(c2c_timeline(user, peer), last, first, limit)
        entries = [render_entry(entry.tail, seq=entry.seq, time=entry.time, group=False) for entry in page.entries]
        return HistoryPage(entries, list(page.entries), page.first, page.last, page.floor, page.last_seq)

    async def seq_before(self, user: str, peer: str, time: int, msg_key: str) -> int:
        """Return the last C2C seq older than the message of this time and MsgKey."""
        return await self._store.timelines.seq_before(c2c_timeline(user, peer), time, msg_key)

    async def _last_until(self, timeline: str, last: int, until: int) -> int:
        return min(last, await self._store.timelines.seq_before(timeline, until, "")) if until else last


def _rendered(page: TimelinePage, *, group: bool, floor: int = 1, plain: bool = False) -> HistoryPage:
    """Render a page; of entries that are too large together, the newest that fit."""
    page = _fitting(page)
    entries: list[msgspec.Raw] = []
    gone = render_placeholder if plain else render_tombstone
    expected = page.last
    for entry in page.entries:
        entries.extend(gone(seq) for seq in range(expected, entry.seq, -1))
        hidden = entry.kind == ACTION and (plain or (floor > 1 and target_of(entry) < floor))
        entries.append(gone(entry.seq) if hidden else render_entry(entry.tail, seq=entry.seq, time=entry.time, group=group))
        expected = entry.seq - 1
    entries.extend(gone(seq) for seq in range(expected, page.first - 1, -1))
    return HistoryPage(entries, list(page.entries), page.first, page.last, max(floor, page.floor), page.last_seq)


def _fitting(page: TimelinePage) -> TimelinePage:
    size = 0
    for count, entry in enumerate(page.entries):
        size += len(entry.tail)
        if size > PAGE_LIMIT_BYTES and count:
            return replace(page, entries=page.entries[:count], first=page.entries[count - 1].seq)
    return page


def target_of(entry: StoredEntry) -> int:
    """Return the seq that an action's entry acts on: a user who may not see that may not see the action."""
    act = decode_payload(entry.tail).action
    return act.target if isinstance(act, EntryAction) else 0

"""Reading timelines, as pages of rendered entries.

Nobody gets what is below their floor, nor an act on it; what is too large for one reply is cut at its old end.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from ...protocol.entries import EntryAction, decode_payload, render_entry, render_placeholder, render_tombstone
from ..social.entity_cache import Directory
from ..store.base import ACT, Store, StoredEntry, TimelinePage, c2c_timeline, group_timeline, system_timeline

PAGE_LIMIT_BYTES = 512 * 1024  # of entries in one reply: 8 pages at once still leave room for pushes in a session's queue


class Range(msgspec.Struct, frozen=True, gc=False):
    """Rendered entries, newest first, a message or a tombstone for each seq of `first` to `last`."""

    entries: list[msgspec.Raw]
    stored: list[StoredEntry]
    first: int
    last: int
    floor: int
    last_seq: int


class Pages:
    """What a user may read of C2C, group and system timelines."""

    def __init__(self, store: Store, directory: Directory) -> None:
        self._store = store
        self._directory = directory

    async def c2c(self, user: str, peer: str, first: int, last: int, limit: int, *, until: int = 0) -> Range:
        """The newest `limit` entries of an interval of the C2C timeline with `peer`, or of its part up to a time."""
        timeline = c2c_timeline(user, peer)
        page = await self._store.timeline_page(timeline, first, await self._up_to(timeline, last, until), limit)
        return _range(page, group=False)

    async def c2c_messages(self, user: str, peer: str, first: int, last: int, limit: int) -> Range:
        """The newest `limit` messages of an interval, no acts: for clients that do not know them."""
        page = await self._store.messages_before(c2c_timeline(user, peer), last, first, limit)
        entries = [render_entry(entry.tail, seq=entry.seq, time=entry.time, group=False) for entry in page.entries]
        return Range(entries, list(page.entries), page.first, page.last, page.floor, page.last_seq)

    async def group(
        self, user: str, group_id: str, first: int, last: int, limit: int, *, until: int = 0, plain: bool = False
    ) -> Range:
        """The newest `limit` entries of an interval of a group's timeline, for a member, from where it may read on.

        `plain`: for clients that know no acts; where one stands there is nothing to show.
        """
        group = await self._directory.group_for(user, group_id)
        floor = group.members[user].floor
        timeline = group_timeline(group_id)
        last = await self._up_to(timeline, last, until)
        page = await self._store.timeline_page(timeline, max(first, floor), last, limit)
        return _range(page, group=True, floor=floor, plain=plain)

    async def system(self, user: str, first: int, last: int, limit: int, *, until: int = 0) -> Range:
        """The newest `limit` entries of an interval of the user's own system timeline, or of its part up to a time."""
        timeline = system_timeline(user)
        page = await self._store.timeline_page(timeline, first, await self._up_to(timeline, last, until), limit)
        return _range(page, group=False)

    async def seq_before(self, user: str, peer: str, time: int, msg_key: str) -> int:
        """The last C2C seq older than the message of this time and MsgKey."""
        return await self._store.seq_before(c2c_timeline(user, peer), time, msg_key)

    async def _up_to(self, timeline: str, last: int, until: int) -> int:
        return min(last, await self._store.seq_before(timeline, until, "")) if until else last


def _range(page: TimelinePage, *, group: bool, floor: int = 1, plain: bool = False) -> Range:
    """The page in the form of the wire; of entries that are large together, the newest that fit."""
    page = _fitting(page)
    entries: list[msgspec.Raw] = []
    gone = render_placeholder if plain else render_tombstone
    expected = page.last
    for entry in page.entries:
        entries.extend(gone(seq) for seq in range(expected, entry.seq, -1))
        hidden = entry.kind == ACT and (plain or (floor > 1 and target_of(entry) < floor))
        entries.append(gone(entry.seq) if hidden else render_entry(entry.tail, seq=entry.seq, time=entry.time, group=group))
        expected = entry.seq - 1
    entries.extend(gone(seq) for seq in range(expected, page.first - 1, -1))
    return Range(entries, list(page.entries), page.first, page.last, max(floor, page.floor), page.last_seq)


def _fitting(page: TimelinePage) -> TimelinePage:
    size = 0
    for count, entry in enumerate(page.entries):
        size += len(entry.tail)
        if size > PAGE_LIMIT_BYTES and count:
            return replace(page, entries=page.entries[:count], first=page.entries[count - 1].seq)
    return page


def target_of(entry: StoredEntry) -> int:
    """The seq that an act's entry acts on: who may not see that may not see the act."""
    act = decode_payload(entry.tail).action
    return act.target if isinstance(act, EntryAction) else 0

"""The store on a database that speaks SQL: each method is one operation, which the engine carries out in one transaction.

The statements are in `timelines.py`, `acts.py`, `conversations.py`, `people.py`, `media.py`, `places.py` and `outlets.py`,
once for all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from functools import partial

from ...protocol.media import MediaRef
from . import accounts_and_groups, conversations, delivery_cursors, media, message_actions, timelines
from .base import (
    Account,
    Acted,
    Appended,
    Blob,
    Change,
    Circle,
    Contact,
    ContactChange,
    Decided,
    Group,
    NewAct,
    NewEntry,
    Read,
    Receipt,
    StoredEntry,
    TimelinePage,
    Unread,
    Upload,
)
from .device_slots import SqlPlaces
from .locks import Claims
from .mutations import CreateGroup
from .operation import Engine


class SqlStore:
    """What `base.Store` says, on any engine."""

    def __init__(self, engine: Engine, claims: Claims) -> None:
        self._engine = engine
        self.media = SqlMedia(engine)
        self.places = SqlPlaces(engine)
        self.claims = claims

    async def open(self) -> None:
        await self._engine.open()

    async def close(self) -> None:
        await self._engine.close()

    async def append(self, entry: NewEntry) -> Appended:
        return await self._engine.submit(partial(timelines.append, entry))

    async def standing(self, entry: NewEntry) -> Appended | None:
        if entry.msg_key is None:
            return None
        return await self._engine.submit(partial(timelines.standing, entry))

    def apply(
        self, changes: Sequence[Change], entries: Sequence[NewEntry], decided: Decided | None = None
    ) -> Awaitable[list[Appended]]:
        return self._engine.submit(partial(timelines.apply, changes, entries, decided or Decided()))

    async def timeline_page(self, timeline: str, first: int, last: int, limit: int) -> TimelinePage:
        return await self._engine.read(partial(timelines.page, timeline, first, last, limit))

    async def seq_before(self, timeline: str, time: int, msg_key: str) -> int:
        return await self._engine.read(partial(timelines.seq_before, timeline, time, msg_key))

    async def act(self, act: NewAct) -> Acted:
        return await self._engine.submit(partial(message_actions.carry_out, act))

    async def acts(self, timeline: str, first: int, last: int, limit: int) -> list[StoredEntry]:
        return await self._engine.read(partial(message_actions.between, timeline, first, last, limit))

    async def message(self, timeline: str, seq: int) -> StoredEntry | None:
        return await self._engine.read(partial(message_actions.message, timeline, seq))

    async def messages_before(self, timeline: str, last: int, floor: int, limit: int) -> TimelinePage:
        return await self._engine.read(partial(message_actions.messages_before, timeline, last, floor, limit))

    async def contacts(self, user: str, offset: int, limit: int, *, since: int = 0) -> list[Contact]:
        return await self._engine.read(partial(conversations.contacts, user, offset, limit, since))

    async def unread(self, user: str, timelines_: Sequence[str]) -> list[Unread]:
        if not timelines_:  # what a device that comes back after a cut asks
            return []
        return await self._engine.read(partial(conversations.unread, user, timelines_))

    async def set_read(self, user: str, timeline: str, seq: int, *, time: int = 0) -> Read:
        return await self._engine.write(partial(conversations.set_read, user, timeline, seq, time))

    async def set_receipts(self, user: str, timeline: str, seqs: Sequence[int], *, time: int) -> list[Receipt]:
        return await self._engine.write(partial(conversations.set_receipts, user, timeline, seqs, time))

    async def receipts_of(self, sender: str, since: int, limit: int) -> list[Receipt]:
        return await self._engine.read(partial(conversations.receipts_of, sender, since, limit))

    async def receipts(self, timeline: str, seqs: Sequence[int]) -> list[Receipt]:
        return await self._engine.read(partial(conversations.receipts, timeline, seqs))

    async def readers(self, timeline: str, seq: int, offset: int, limit: int) -> list[tuple[str, int]]:
        return await self._engine.read(partial(conversations.readers, timeline, seq, offset, limit))

    async def change_contact(self, user: str, timeline: str, change: ContactChange, *, time: int) -> Contact | None:
        return await self._engine.write(partial(conversations.change, user, timeline, change, time))

    async def muted(self, user: str, timelines_: Sequence[str]) -> list[bool]:
        return await self._engine.read(partial(conversations.muted, user, timelines_))

    async def muting(self, timeline: str, users: Sequence[str]) -> set[str]:
        return await self._engine.read(partial(conversations.muting, timeline, users))

    async def read_time(self, user: str, timeline: str) -> int:
        return await self._engine.read(partial(conversations.read_time, user, timeline))

    async def account(self, user: str) -> Account | None:
        return await self._engine.read(partial(accounts_and_groups.account, user))

    async def ensure_account(self, user: str, *, nickname: str = "", face_url: str = "") -> Account:
        if (account := await self.account(user)) is not None and not nickname and not face_url:
            return account
        return await self._engine.write(partial(accounts_and_groups.ensure_account, user, nickname, face_url))

    async def create_group(self, group: Group) -> None:
        await self._engine.submit(partial(accounts_and_groups.carry_out, CreateGroup(group)))

    async def group(self, group_id: str) -> Group | None:
        return await self._engine.read(partial(accounts_and_groups.group, group_id))

    async def places_of(self, user: str) -> dict[str, int]:
        return await self._engine.read(partial(accounts_and_groups.places_of, user))

    async def group_ids_of(self, user: str) -> list[str]:
        return await self._engine.read(partial(accounts_and_groups.group_ids_of, user))

    async def circle(self, user: str) -> Circle:
        return await self._engine.read(partial(accounts_and_groups.circle, user))

    async def groups_of(self, user: str) -> list[Group]:
        return await self._engine.read(partial(accounts_and_groups.groups_of, user))

    async def begin_outlet(self, outlet: str) -> None:
        await self._engine.write(partial(delivery_cursors.begin, outlet))

    async def end_outlet(self, outlet: str) -> None:
        await self._engine.write(partial(delivery_cursors.end, outlet))

    async def untold(self, outlet: str, limit: int) -> list[str]:
        return await self._engine.read(partial(delivery_cursors.behind, outlet, limit))

    async def told_up_to(self, outlet: str, timeline: str) -> int:
        return await self._engine.read(partial(delivery_cursors.cursor, outlet, timeline))

    async def set_told(self, outlet: str, timeline: str, seq: int) -> None:
        await self._engine.write(partial(delivery_cursors.told, outlet, timeline, seq))

    async def meta(self, key: str, default: str) -> str:
        known = await self._engine.read(partial(timelines.meta, key))
        return known if known is not None else await self._engine.write(partial(timelines.make_meta, key, default))

    async def set_meta(self, key: str, value: str) -> None:
        await self._engine.write(partial(timelines.set_meta, key, value))


class SqlMedia:
    """What `base.MediaStore` says, on any engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def begin(self, owner: str, upload: str, wanted: Upload, *, now: int, open_limit: int) -> Upload | Blob:
        return await self._engine.write(partial(media.begin, owner, upload, wanted, now, open_limit))

    async def find(self, owner: str, upload: str) -> Upload | None:
        return await self._engine.read(partial(media.find, owner, upload))

    async def touch(self, owner: str, upload: str, *, now: int) -> None:
        await self._engine.write(partial(media.touch, owner, upload, now))

    async def finish(self, owner: str, upload: str, whole: Upload, uuid: str, parts: Sequence[int], *, now: int) -> Blob | None:
        return await self._engine.write(partial(media.finish, owner, upload, whole, uuid, parts, now))

    async def drop(self, owner: str, upload: str) -> str | None:
        return await self._engine.write(partial(media.drop, owner, upload))

    async def readable(self, uuid: str, user: str) -> Blob | None:
        return await self._engine.read(partial(media.readable, uuid, user))

    async def grant(self, sender: str, user: str, names: Sequence[MediaRef], *, now: int) -> None:
        await self._engine.write(partial(media.grant, sender, user, names, now))

    async def collect(self, *, uploads_before: int, blobs_before: int) -> list[str]:
        return await self._engine.write(partial(media.collect, uploads_before, blobs_before))

    async def buried(self, object: str) -> None:
        await self._engine.write(partial(media.buried, object))

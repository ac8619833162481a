"""The contract of the store's media metadata, run on every engine. References are stored with their entries."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from timim import InvalidArgument, InvalidElem, RateLimited
from timim.protocol.media import MediaRef
from timim.server.store.base import (
    Blob,
    Member,
    MsgKey,
    NewEntry,
    Store,
    StoredGroup,
    Upload,
    UploadLimits,
    c2c_timeline,
    group_timeline,
)
from timim.server.store.mutations import InsertGroup, InsertMembers, RemoveMembers

LINE = c2c_timeline("alice", "bob")
LIMIT = 3
LIMITS = UploadLimits(LIMIT, 1 << 40, 0)


def upload(name: str, *, hash: str = "", size: int = 5) -> Upload:
    return Upload(f"object-{name}", hash or f"hash-{name}", size)


async def blob(store: Store, owner: str, name: str, *, hash: str = "", now: int = 100) -> Blob:
    """Upload content of this owner under a uuid of this name."""
    wanted = upload(name, hash=hash)
    begun = await store.media.begin(owner, f"up-{name}", wanted, now=now, limits=LIMITS)
    assert begun == wanted
    made = await store.media.finish(owner, f"up-{name}", wanted, f"uuid-{name}", [2, 3], now=now)
    assert made is not None
    return made


def entry(number: int, *uuids: str, sender: str = "alice", line: str = LINE, ours: bool = True) -> NewEntry:
    names = tuple(MediaRef(uuid, ours) for uuid in uuids)
    key = MsgKey(1_700_000_000, number)
    return NewEntry(line, sender, key, b"%d" % number, b"{", 100, contacts=("alice", "bob"), media=names)


class MediaStoreContract:
    """The contract of media metadata. The fixture `store` of a subclass is an open store."""

    async def test_an_upload_begins_once_resumes_and_becomes_content(self, store: Store) -> None:
        media, wanted = store.media, upload("one")
        assert await media.begin("alice", "up", wanted, now=1, limits=LIMITS) == wanted
        again = upload("two", hash=wanted.hash)  # as a retry would send
        assert await media.begin("alice", "up", again, now=2, limits=LIMITS) == wanted
        with pytest.raises(InvalidArgument):
            await media.begin("alice", "up", upload("three"), now=2, limits=LIMITS)
        assert await media.find("alice", "up") == wanted
        assert await media.find("bob", "up") is None
        made = await media.finish("alice", "up", wanted, "uuid", [2, 3], now=3)
        assert made == Blob("uuid", wanted.object, wanted.hash, 5, (2, 3))
        assert await media.finish("alice", "up", wanted, "uuid", [2, 3], now=3) == made  # its reply was lost
        assert await media.begin("alice", "other", again, now=4, limits=LIMITS) == made
        assert await media.begin("bob", "other", again, now=4, limits=LIMITS) == again  # another user has to upload the bytes
        assert await media.readable("uuid", "alice") == made
        assert await media.readable("uuid", "bob") is None

    async def test_equal_bytes_of_two_users_are_one_object_with_two_uuids(self, store: Store) -> None:
        mine = await blob(store, "alice", "a", hash="same")
        theirs = await blob(store, "bob", "b", hash="same")
        assert (mine.object, theirs.object) == ("object-a", "object-a")
        assert mine.uuid != theirs.uuid
        assert await store.media.collect(uploads_before=0, blobs_before=0) == ["object-b"]
        await store.media.confirm_deleted("object-b")
        assert await store.media.collect(uploads_before=0, blobs_before=0) == []

    async def test_users_who_finish_equal_bytes_at_once_share_one_object(self, store: Store) -> None:
        made = await asyncio.gather(*(blob(store, f"u{n}", f"{n}", hash="same") for n in range(20)))
        assert len({one.object for one in made}) == 1
        assert len({one.uuid for one in made}) == 20
        assert len(await store.media.collect(uploads_before=0, blobs_before=0)) == 19

    async def test_a_promised_uuid_is_kept(self, store: Store) -> None:
        await blob(store, "alice", "a", hash="same")
        wanted = upload("b", hash="")
        await store.media.begin("alice", "promised", Upload("object-b", "", 99), now=1, limits=LIMITS)
        made = await store.media.finish("alice", "promised", Upload("object-b", "same", 5), "promised", [5], now=2)
        assert made is not None
        assert (made.uuid, made.object) == ("promised", "object-a")
        assert wanted.object in await store.media.collect(uploads_before=0, blobs_before=0)

    @pytest.mark.requirement("H12")
    async def test_content_without_a_message_is_bounded_until_a_message_refers_to_it(self, store: Store) -> None:
        limits = UploadLimits(LIMIT, 12, 50)
        await blob(store, "alice", "old", now=40)  # about to be removed
        await blob(store, "alice", "one")
        await store.media.begin("alice", "two", upload("two"), now=100, limits=limits)
        with pytest.raises(RateLimited, match="10 bytes"):
            await store.media.begin("alice", "three", upload("three"), now=100, limits=limits)
        await store.media.begin("bob", "three", upload("three"), now=100, limits=limits)
        await store.timelines.append(entry(1, "uuid-one"))
        await store.media.begin("alice", "three", upload("three"), now=100, limits=limits)

    async def test_too_many_open_uploads_are_refused_until_one_is_dropped(self, store: Store) -> None:
        for n in range(LIMIT):
            await store.media.begin("alice", f"{n}", upload(f"{n}"), now=1, limits=LIMITS)
        with pytest.raises(RateLimited):
            await store.media.begin("alice", "more", upload("more"), now=1, limits=LIMITS)
        assert await store.media.drop("alice", "0") == "object-0"
        assert await store.media.drop("alice", "0") is None
        assert await store.media.finish("alice", "0", upload("0"), "uuid", [5], now=1) is None
        await store.media.begin("alice", "more", upload("more"), now=1, limits=LIMITS)

    @pytest.mark.requirement("R13")
    async def test_a_reference_and_its_entry_are_stored_together_or_not_at_all(self, store: Store) -> None:
        await blob(store, "alice", "a")
        with pytest.raises(InvalidElem) as refused:
            await store.timelines.append(entry(1, "uuid-a", sender="bob"))
        assert refused.value.code == 90010
        with pytest.raises(InvalidElem):
            await store.timelines.append(entry(2, "uuid-unknown"))
        assert (
            await store.timelines.append(entry(3, "uuid-elsewhere", ours=False))
        ).seq == 1  # the refused entries used no seq
        assert await store.media.readable("uuid-a", "bob") is None
        assert (await store.timelines.append(entry(4, "uuid-a"))).seq == 2
        assert await store.media.readable("uuid-a", "bob") is not None
        assert await store.media.readable("uuid-a", "eve") is None
        retried = await store.timelines.append(entry(4, "uuid-a"))
        assert (retried.seq, retried.duplicate) == (2, True)
        forwarded = entry(5, "uuid-a", sender="bob", line=c2c_timeline("bob", "carol"))
        await store.timelines.append(replace(forwarded, contacts=("bob", "carol")))
        assert await store.media.readable("uuid-a", "carol") is not None

    @pytest.mark.requirement("R13")
    async def test_members_read_from_their_first_visible_seq_while_they_are_members(self, store: Store) -> None:
        members = {"alice": Member("Owner")}
        await store.apply([InsertGroup(StoredGroup("g", "Public", "g", "alice", 1, members))], [])
        line = group_timeline("g")
        for name in ("before", "after"):
            await blob(store, "alice", name)
        await store.timelines.append(entry(1, "uuid-before", line=line))
        await store.apply([InsertMembers("g", {"bob": Member("Member")}, from_now=True)], [])
        await store.timelines.append(entry(2, "uuid-after", line=line))
        assert await store.media.readable("uuid-before", "bob") is None
        assert await store.media.readable("uuid-after", "bob") is not None
        await store.apply([RemoveMembers("g", ("bob",))], [])
        assert await store.media.readable("uuid-after", "bob") is None

    async def test_referenced_content_is_never_collected_and_the_rest_is(self, store: Store) -> None:
        for name in ("named", "granted", "loose"):
            await blob(store, "alice", name)
        await store.media.begin("alice", "abandoned", upload("abandoned"), now=100, limits=LIMITS)
        await store.timelines.append(entry(1, "uuid-named"))
        await store.media.grant("alice", "bob", [MediaRef("uuid-granted", True)], now=100)
        assert await store.media.readable("uuid-granted", "bob") is not None
        with pytest.raises(InvalidElem):
            await store.media.grant("bob", "eve", [MediaRef("uuid-loose", True)], now=100)
        assert await store.media.collect(uploads_before=100, blobs_before=100) == []
        dead = await store.media.collect(uploads_before=1000, blobs_before=1000)
        assert sorted(dead) == ["object-abandoned", "object-granted", "object-loose"]
        assert await store.media.readable("uuid-named", "bob") is not None
        assert await store.media.readable("uuid-granted", "bob") is None
        assert await store.media.find("alice", "abandoned") is None
        for object in dead:
            await store.media.confirm_deleted(object)
        assert await store.media.collect(uploads_before=1000, blobs_before=1000) == []

    async def test_content_referenced_while_collected_is_either_kept_or_refused(self, store: Store) -> None:
        for n in range(30):
            await blob(store, "alice", f"{n}")

        async def name(n: int) -> bool:
            try:
                await store.timelines.append(entry(n + 1, f"uuid-{n}"))
            except InvalidElem:
                return False
            return True

        named, _ = await asyncio.gather(
            asyncio.gather(*(name(n) for n in range(30))), store.media.collect(uploads_before=0, blobs_before=101)
        )
        for n, stands in enumerate(named):
            assert (await store.media.readable(f"uuid-{n}", "bob") is not None) == stands

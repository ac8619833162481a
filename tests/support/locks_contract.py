"""The contract of cluster locks and of device slots, run on each store."""

from __future__ import annotations

import itertools

import pytest

from timim.server.store.base import Store


class LocksContract:
    """The contract of cluster locks and device slots. The fixture `store` of a subclass is an open store."""

    async def test_a_claim_is_held_once_until_it_is_released(self, store: Store) -> None:
        claims = store.locks
        assert await claims.try_acquire("a")
        assert not await claims.try_acquire("a")
        assert await claims.try_acquire("b")
        assert (claims.holds("a"), claims.holds("c")) == (True, False)
        await claims.release("a")
        await claims.release("c")
        assert (claims.holds("a"), claims.holds("b")) == (False, True)
        assert await claims.try_acquire("a")

    async def test_the_last_login_has_the_slot_and_a_returning_device_does_not_take_it(self, store: Store) -> None:
        places = store.device_slots
        now_ms = itertools.count(1)

        async def take(user: str, place: str, device: str, *, resumed: bool) -> bool:
            return await places.acquire(user, place, device, resumed=resumed, begun_ms=next(now_ms), by_token=False)

        assert await take("alice", "mobile", "phone", resumed=True), "a free slot is given to any device"
        assert await take("alice", "mobile", "tablet", resumed=False)
        assert not await take("alice", "mobile", "phone", resumed=True)
        assert await take("alice", "mobile", "tablet", resumed=True)
        assert await take("alice", "desktop", "phone", resumed=True)
        assert await take("bob", "mobile", "phone", resumed=True)
        assert [await places.holder("alice", place) for place in ("mobile", "desktop", "")] == ["tablet", "phone", None]
        await places.release("alice", "mobile", "phone")
        assert await places.holder("alice", "mobile") == "tablet"
        await places.release("alice", "mobile", "tablet")
        assert await places.holder("alice", "mobile") is None
        assert await take("alice", "mobile", "phone", resumed=True)

    @pytest.mark.requirement("H4b")
    async def test_the_token_of_an_older_login_does_not_take_the_slot_back(self, store: Store) -> None:
        places = store.device_slots
        first, later = 1 << 42, (1 << 42) + 1

        async def take(device: str, begun_ms: int, *, by_token: bool) -> bool:
            return await places.acquire("alice", "web", device, resumed=False, begun_ms=begun_ms, by_token=by_token)

        assert await take("a", first, by_token=False)
        assert await take("b", first, by_token=True), "a page that is loaded again"
        assert await take("c", later, by_token=False)
        assert not await take("d", first, by_token=True)
        assert await take("e", later, by_token=True)
        await places.release("alice", "web", "e")
        assert not await take("d", first, by_token=True)
        assert await take("f", 1, by_token=False), "a clock that is behind"

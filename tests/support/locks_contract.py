"""The contract of cluster locks and of device slots, run on each store."""

from __future__ import annotations

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
        assert await places.acquire("alice", "mobile", "phone", resumed=True), "a free slot is given to any device"
        assert await places.acquire("alice", "mobile", "tablet", resumed=False)
        assert not await places.acquire("alice", "mobile", "phone", resumed=True)
        assert await places.acquire("alice", "mobile", "tablet", resumed=True)
        assert await places.acquire("alice", "desktop", "phone", resumed=True)
        assert await places.acquire("bob", "mobile", "phone", resumed=True)
        assert [await places.holder("alice", place) for place in ("mobile", "desktop", "")] == ["tablet", "phone", None]
        await places.release("alice", "mobile", "phone")
        assert await places.holder("alice", "mobile") == "tablet"
        await places.release("alice", "mobile", "tablet")
        assert await places.acquire("alice", "mobile", "phone", resumed=True)

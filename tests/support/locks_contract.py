"""What one node at a time holds (claims), and one device at a time (places): the contract, on each store."""

from __future__ import annotations

from timim.server.store.base import Store


class LocksContract:
    """What every store keeps to for claims and device slots. A subclass's fixture `store` is an open one."""

    async def test_a_claim_is_held_once_until_it_is_released(self, store: Store) -> None:
        claims = store.claims
        assert await claims.take("a")
        assert not await claims.take("a")
        assert await claims.take("b")
        assert (claims.holds("a"), claims.holds("c")) == (True, False)
        await claims.release("a")
        await claims.release("c")
        assert (claims.holds("a"), claims.holds("b")) == (False, True)
        assert await claims.take("a")

    async def test_the_last_login_has_the_slot_and_a_returning_device_does_not_take_it(self, store: Store) -> None:
        places = store.places
        assert await places.take("alice", "mobile", "phone", resumed=True), "it was nobody's"
        assert await places.take("alice", "mobile", "tablet", resumed=False)
        assert not await places.take("alice", "mobile", "phone", resumed=True)
        assert await places.take("alice", "mobile", "tablet", resumed=True)
        assert await places.take("alice", "desktop", "phone", resumed=True)
        assert await places.take("bob", "mobile", "phone", resumed=True)
        assert [await places.holder("alice", place) for place in ("mobile", "desktop", "")] == ["tablet", "phone", None]
        await places.leave("alice", "mobile", "phone")
        assert await places.holder("alice", "mobile") == "tablet"
        await places.leave("alice", "mobile", "tablet")
        assert await places.take("alice", "mobile", "phone", resumed=True)

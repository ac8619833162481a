"""Device slots in SQL: the one device of a user that may be online per slot. The latest login owns the slot."""

from __future__ import annotations

from functools import partial

from .operation import Execute, Operation, SqlEngine, first_row


class DeviceSlotStore:
    """The devices that own device slots. Every method may raise StorageError."""

    def __init__(self, engine: SqlEngine) -> None:
        self._engine = engine

    async def acquire(self, user: str, slot: str, device: str, *, resumed: bool) -> bool:
        """Give the slot to this device.

        Return False if the device only reconnected (`resumed`) and another device owns the slot now.
        """
        return await self._engine.write(partial(acquire, user, slot, device, resumed))

    async def holder(self, user: str, slot: str) -> str | None:
        """Return the device that owns the slot, or None if the slot is free."""
        return await self._engine.read(partial(holder, user, slot))

    async def release(self, user: str, slot: str, device: str) -> None:
        """Free the slot if this device owns it."""
        await self._engine.write(partial(release, user, slot, device))


def acquire(user: str, slot: str, device: str, resumed: bool) -> Operation[bool]:
    taken = yield Execute(
        "INSERT INTO places(user_id, place, device) VALUES(?, ?, ?)"
        " ON CONFLICT(user_id, place) DO UPDATE SET device=excluded.device WHERE places.device=excluded.device OR NOT ?"
        " RETURNING device",
        (user, slot, device, resumed),
    )
    return bool(taken)


def holder(user: str, slot: str) -> Operation[str | None]:
    row = yield from first_row("SELECT device FROM places WHERE user_id=? AND place=?", user, slot)
    return str(row[0]) if row else None


def release(user: str, slot: str, device: str) -> Operation[None]:
    yield Execute("DELETE FROM places WHERE user_id=? AND place=? AND device=?", (user, slot, device))

"""Device slots in SQL: the one device of a user that may be online per slot. The latest login owns the slot.

A slot keeps the time at which its last owner logged in, also after a logout, so an older login never gets it back.
"""

from __future__ import annotations

from functools import partial

from .operation import Execute, Operation, SqlEngine, first_row


class DeviceSlotStore:
    """The devices that own device slots. Every method may raise StorageError."""

    def __init__(self, engine: SqlEngine) -> None:
        self._engine = engine

    async def acquire(self, user: str, slot: str, device: str, *, resumed: bool, begun_ms: int, by_token: bool) -> bool:
        """Give the slot to this device.

        Args:
            user: The owner of the device.
            slot: The slot.
            device: Id of the device.
            resumed: The device only reconnected.
            begun_ms: Time at which the login began that the device uses now.
            by_token: The device used the token of that login instead of a signature.

        Returns:
            False if the device only reconnected and another one owns the slot, or if a later login took the slot.
        """
        return await self._engine.write(partial(acquire, user, slot, device, resumed, begun_ms, by_token))

    async def holder(self, user: str, slot: str) -> str | None:
        """Return the device that owns the slot, or None if the slot is free."""
        return await self._engine.read(partial(holder, user, slot))

    async def release(self, user: str, slot: str, device: str) -> None:
        """Free the slot if this device owns it."""
        await self._engine.write(partial(release, user, slot, device))


def acquire(user: str, slot: str, device: str, resumed: bool, begun_ms: int, by_token: bool) -> Operation[bool]:
    taken = yield Execute(
        "INSERT INTO places(user_id, place, device, since) VALUES(?, ?, ?, ?)"
        " ON CONFLICT(user_id, place) DO UPDATE SET device=excluded.device,"
        " since=CASE WHEN excluded.since>places.since THEN excluded.since ELSE places.since END"
        " WHERE (places.device=excluded.device OR places.device='' OR NOT ?) AND (places.since<=excluded.since OR NOT ?)"
        " RETURNING device",
        (user, slot, device, begun_ms, resumed, by_token),
    )
    return bool(taken)


def holder(user: str, slot: str) -> Operation[str | None]:
    row = yield from first_row("SELECT device FROM places WHERE user_id=? AND place=?", user, slot)
    return (str(row[0]) or None) if row else None


def release(user: str, slot: str, device: str) -> Operation[None]:
    yield Execute("UPDATE places SET device='' WHERE user_id=? AND place=? AND device=?", (user, slot, device))

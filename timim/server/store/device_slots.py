"""Which device of a user has which place, where the operator allows fewer than all. Who logged in last has it."""

from __future__ import annotations

from functools import partial
from typing import Protocol

from .operation import Engine, Run, Steps, one


class PlaceStore(Protocol):
    """Every method may raise StorageError."""

    async def take(self, user: str, place: str, device: str, *, resumed: bool) -> bool:
        """Give the place to this device. False: it came back by itself (`resumed`), and the place is another's."""
        ...

    async def holder(self, user: str, place: str) -> str | None:
        """The device that has it."""
        ...

    async def leave(self, user: str, place: str, device: str) -> None:
        """The device logged out: if the place is its own, it is free."""
        ...


def take(user: str, place: str, device: str, resumed: bool) -> Steps[bool]:
    taken = yield Run(
        "INSERT INTO places(user_id, place, device) VALUES(?, ?, ?)"
        " ON CONFLICT(user_id, place) DO UPDATE SET device=excluded.device WHERE places.device=excluded.device OR NOT ?"
        " RETURNING device",
        (user, place, device, resumed),
    )
    return bool(taken)


def holder(user: str, place: str) -> Steps[str | None]:
    row = yield from one("SELECT device FROM places WHERE user_id=? AND place=?", user, place)
    return str(row[0]) if row else None


def leave(user: str, place: str, device: str) -> Steps[None]:
    yield Run("DELETE FROM places WHERE user_id=? AND place=? AND device=?", (user, place, device))


class SqlPlaces:
    """What PlaceStore says, on any engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def take(self, user: str, place: str, device: str, *, resumed: bool) -> bool:
        return await self._engine.write(partial(take, user, place, device, resumed))

    async def holder(self, user: str, place: str) -> str | None:
        return await self._engine.read(partial(holder, user, place))

    async def leave(self, user: str, place: str, device: str) -> None:
        await self._engine.write(partial(leave, user, place, device))

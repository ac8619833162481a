"""What this server says to the operator's back end, composed from the settings. Without an address it says nothing."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Collection

from ..bus.base import Bus
from ..sessions.fanout import Fanout
from ..settings import Settings
from ..social.entity_cache import Directory
from ..store.base import Store, StoredEntry
from .delivery import Outlet
from .offline_push import AFTER_C2C, AFTER_GROUP, AfterCallbacks, Pushes
from .webhooks import STATE, Action, Gate, StateCallbacks, Webhook


class Outside:
    """`gate` asks before a message is stored; `stored` and `presence` are what the rest of the server reports to."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        directory: Directory,
        fanout: Fanout,
        bus: Bus,
        *,
        app_id: int,
        now: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._store = store
        self._directory = directory
        self._fanout = fanout
        self._bus = bus
        self._app_id = app_id
        self._now = now
        self._webhooks: list[Webhook] = []
        self._outlets: list[Outlet] = []
        self._states: StateCallbacks | None = None
        self.gate: Gate | None = None
        named = settings.callbacks
        if named:
            self.gate = Gate(self._callbacks(settings.webhook_timeout_s), named, required=settings.webhook_required)

    async def open(self) -> None:
        """Open what the settings name, and close in the store what they name no more."""
        settings, named = self._settings, self._settings.callbacks
        await self._open(
            "callback", AfterCallbacks(self._callbacks(), named).tell if named & {AFTER_C2C, AFTER_GROUP} else None
        )
        push = self._webhook(settings.push_url, settings.push_token, settings.push_timeout_s)
        pushes = Pushes(push, self._store, self._directory, online=self._online)
        await self._open("push", pushes.tell if settings.push_url else None)
        if STATE in named:
            self._states = StateCallbacks(self._callbacks(), now=self._now)
            self._states.start()

    async def _online(self, users: Collection[str]) -> set[str]:
        """Those who are logged in on any node."""
        here = {user for user in users if self._fanout.online(user)}
        return here | await self._bus.online([user for user in users if user not in here])

    async def _open(self, name: str, tell: Callable[[str, StoredEntry], Awaitable[None]] | None) -> None:
        if tell is None:
            await self._store.end_outlet(name)
            return
        give_up_s = self._settings.push_give_up_s
        outlet = Outlet(name, self._store, tell, now=self._now, give_up_s=give_up_s, random=random.Random())
        self._outlets.append(outlet)
        await outlet.start()

    def _callbacks(self, timeout_s: float | None = None) -> Webhook:
        settings = self._settings
        return self._webhook(settings.webhook_url, settings.webhook_token, timeout_s or settings.push_timeout_s)

    def _webhook(self, url: str, token: str, timeout_s: float) -> Webhook:
        made = Webhook(url, token, app_id=self._app_id, timeout_s=timeout_s, now=self._now)
        self._webhooks.append(made)
        return made

    def stored(self, timeline: str) -> None:
        """A message is stored and published."""
        for outlet in self._outlets:
            outlet.stored(timeline)

    def look(self) -> None:
        """Another node is gone: find what it did not tell."""
        for outlet in self._outlets:
            outlet.look()

    def presence(self, user: str, action: Action, reason: str) -> None:
        """A device came or went."""
        if self._states is not None:
            self._states.changed(user, action, reason)

    async def close(self) -> None:
        """Stop; what is not told is told after the next start."""
        for outlet in self._outlets:
            await outlet.close()
        if self._states is not None:
            await self._states.close()
        for webhook in self._webhooks:
            await webhook.close()

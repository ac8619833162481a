"""Composition of the webhooks and delivery feeds from the settings. Without a URL the server makes no call."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from typing import Literal

from ...protocol import callbacks as names
from ...util.outage import OutageLog
from ..bus.base import Bus
from ..settings import Settings
from ..social.callers import Caller
from ..social.entity_cache import EntityCache
from ..social.outbox import CallbackOutbox, CallbackReport, user_lane
from ..store.base import Store
from .before import BeforeCallbacks
from .callback_source import CallbackSource
from .delivery import DeliveryFeed, DeliverySource
from .offline_push import OfflinePushSender
from .providers import Providers
from .timeline_source import TimelineSource
from .webhooks import Webhook

log = logging.getLogger("timim.server")
Action = Literal["Login", "Logout", "Disconnect"]


class Integrations:
    """The webhooks and delivery feeds of a server. Other parts report stored messages and presence to this object."""

    def __init__(
        self, settings: Settings, store: Store, entities: EntityCache, bus: Bus, *, app_id: int, now: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._store = store
        self._entities = entities
        self._bus = bus
        self._app_id = app_id
        self._now = now
        self._webhooks: list[Webhook] = []
        self._timelines: list[DeliveryFeed] = []
        self._callback_feed: DeliveryFeed | None = None
        self._webhook_outage = OutageLog(log, "the back end of webhook_url")
        self._push_outage = OutageLog(log, "the back end of push_url")
        self.providers = Providers(settings)
        self.outbox = CallbackOutbox(settings.callbacks - names.BEFORE, store, now=now)
        self.before = BeforeCallbacks(
            self._callbacks(settings.webhook_timeout_s), settings.callbacks, required=settings.webhook_required
        )

    async def open(self) -> None:
        """Import the providers and start the feeds that the settings name, and disable the other feeds in the store.

        Raises:
            InvalidArgument: A provider cannot be imported.
            StorageError: The store failed.
        """
        await self.providers.open()
        settings, store, commands = self._settings, self._store, self.outbox.commands
        await store.delivery_cursors.disable("callback")  # the feed of an earlier version, which the outbox replaces
        if commands:
            source = CallbackSource(store, self._callbacks(), commands, now=self._now, give_up_s=settings.push_give_up_s)
            self._callback_feed = await self._open_feed("callback", source)
            self.outbox.subscribe(self._callback_feed.on_stored)
        else:
            await store.callbacks.discard_waiting()
        if settings.push_url:
            push = self._webhook(settings.push_url, settings.push_token, settings.push_timeout_s, self._push_outage)
            sender = OfflinePushSender(push, store, self._entities, self._bus)
            pushes = TimelineSource("push", store, sender, now=self._now, give_up_s=settings.push_give_up_s)
            self._timelines.append(await self._open_feed("push", pushes))
        else:
            await store.delivery_cursors.disable("push")

    async def _open_feed(self, name: str, source: DeliverySource) -> DeliveryFeed:
        feed = DeliveryFeed(name, self._store.locks, source, random=random.Random())
        await feed.start()
        return feed

    def _callbacks(self, timeout_s: float | None = None) -> Webhook:
        settings = self._settings
        timeout_s = timeout_s or settings.push_timeout_s
        return self._webhook(settings.webhook_url, settings.webhook_token, timeout_s, self._webhook_outage)

    def _webhook(self, url: str, token: str, timeout_s: float, outage: OutageLog) -> Webhook:
        made = Webhook(url, token, app_id=self._app_id, timeout_s=timeout_s, now=self._now, outage=outage)
        self._webhooks.append(made)
        return made

    @property
    def _feeds(self) -> list[DeliveryFeed]:
        return [*self._timelines, *([self._callback_feed] if self._callback_feed is not None else [])]

    def on_stored(self, timeline: str) -> None:
        """Queue a stored and published message for delivery."""
        for feed in self._timelines:
            feed.on_stored(timeline)

    def on_replayed(self, lanes: Sequence[str]) -> None:
        """Deliver callbacks that are no dead letters any more."""
        for lane in lanes if self._callback_feed is not None else ():
            assert self._callback_feed is not None
            self._callback_feed.on_stored(lane)

    def scan_backlog(self) -> None:
        """Find the events that a lost node did not deliver."""
        for feed in self._feeds:
            feed.scan_backlog()

    def on_presence(self, caller: Caller, action: Action, reason: str, *, kicked: Sequence[str] = ()) -> None:
        """Store the report of a device that logged in, logged out or disconnected.

        Args:
            caller: The user and the client.
            action: The event.
            reason: Tencent's reason of the event.
            kicked: Platforms of the user's devices whose logins this one ended.
        """
        if names.STATE not in self.outbox.commands:
            return
        body: dict[str, object] = {"Info": {"Action": action, "To_Account": caller.user, "Reason": reason}}
        if kicked:
            body["KickedDevice"] = [{"Platform": platform} for platform in kicked]
        self.outbox.add_later(CallbackReport(user_lane(caller.user), names.STATE, body), caller)

    async def close(self) -> None:
        """Store the last reports, and stop all calls. The next start delivers the backlog."""
        await self.outbox.close()
        for feed in self._feeds:
            await feed.close()
        for webhook in self._webhooks:
            await webhook.close()

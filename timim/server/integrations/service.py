"""Composition of the webhooks and delivery feeds from the settings. Without a URL the server makes no call."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable

from ...util.outage import OutageLog
from ..bus.base import Bus
from ..settings import Settings
from ..social.entity_cache import EntityCache
from ..store.base import Store
from .delivery import DeliveryFeed, EntryReceiver
from .offline_push import AFTER_C2C, AFTER_GROUP, AfterSendCallbacks, OfflinePushSender
from .webhooks import STATE, Action, BeforeSendWebhook, StateCallbacks, Webhook

log = logging.getLogger("timim.server")


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
        self._feeds: list[DeliveryFeed] = []
        self._webhook_outage = OutageLog(log, "the back end of webhook_url")
        self._push_outage = OutageLog(log, "the back end of push_url")
        self._states = StateCallbacks(self._callbacks(), now=now, enabled=STATE in settings.callbacks)
        self.before_send = BeforeSendWebhook(
            self._callbacks(settings.webhook_timeout_s), settings.callbacks, required=settings.webhook_required
        )

    async def open(self) -> None:
        """Start the feeds that the settings name, and disable the other feeds in the store.

        Raises:
            StorageError: The store failed.
        """
        settings, named = self._settings, self._settings.callbacks
        callbacks = AfterSendCallbacks(self._callbacks(), named)
        await self._open_feed("callback", callbacks, enabled=bool(named & {AFTER_C2C, AFTER_GROUP}))
        push = self._webhook(settings.push_url, settings.push_token, settings.push_timeout_s, self._push_outage)
        sender = OfflinePushSender(push, self._store, self._entities, self._bus)
        await self._open_feed("push", sender, enabled=bool(settings.push_url))
        self._states.start()

    async def _open_feed(self, name: str, receiver: EntryReceiver, *, enabled: bool) -> None:
        if not enabled:
            await self._store.delivery_cursors.disable(name)
            return
        give_up_s = self._settings.push_give_up_s
        feed = DeliveryFeed(name, self._store, receiver, now=self._now, give_up_s=give_up_s, random=random.Random())
        self._feeds.append(feed)
        await feed.start()

    def _callbacks(self, timeout_s: float | None = None) -> Webhook:
        settings = self._settings
        timeout_s = timeout_s or settings.push_timeout_s
        return self._webhook(settings.webhook_url, settings.webhook_token, timeout_s, self._webhook_outage)

    def _webhook(self, url: str, token: str, timeout_s: float, outage: OutageLog) -> Webhook:
        made = Webhook(url, token, app_id=self._app_id, timeout_s=timeout_s, now=self._now, outage=outage)
        self._webhooks.append(made)
        return made

    def on_stored(self, timeline: str) -> None:
        """Queue a stored and published message for delivery."""
        for feed in self._feeds:
            feed.on_stored(timeline)

    def scan_backlog(self) -> None:
        """Find the messages that a lost node did not deliver."""
        for feed in self._feeds:
            feed.scan_backlog()

    def on_presence(self, user: str, action: Action, reason: str) -> None:
        """Queue the report of a device that logged in, logged out or disconnected."""
        self._states.on_change(user, action, reason)

    async def close(self) -> None:
        """Stop all calls. The next start delivers the backlog."""
        for feed in self._feeds:
            await feed.close()
        await self._states.close()
        for webhook in self._webhooks:
            await webhook.close()

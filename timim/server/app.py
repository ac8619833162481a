"""Composition of the server: settings → store, bus → messaging → handlers → endpoints → one ASGI application on one port.

`async with Server(Settings(...)) as server` runs a server in this event loop; clients connect to `server.url`. Stopping drains
the server: it refuses new connections, answers the requests in progress, closes the sockets, and then closes the store.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import secrets
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from starlette.routing import WebSocketRoute

from ..errors import InvalidArgument, StorageError, StoreInUse, TimimError
from ..util import clock
from ..util.failpoints import arm
from ..util.file_lock import FileLock
from ..util.private_files import private_opener
from ..util.server_folder import KEY_FILE, write_address
from .bus.base import Bus
from .bus.local import LocalBus
from .content.blob_store import BlobStore
from .content.downloads import Downloads
from .content.uploads import Uploads
from .endpoints.exposure import warnings_of
from .endpoints.health import HealthEndpoint
from .endpoints.http_server import HttpServer, listen
from .endpoints.media import MediaEndpoint
from .endpoints.rest import RestEndpoint
from .endpoints.tls import ServerTls
from .endpoints.websocket import WebSocketEndpoint
from .endpoints.welcome import WelcomeEndpoint
from .handlers import ALL_HANDLERS
from .handlers.registry import Services
from .integrations.service import Integrations
from .messaging.actions import ActionLimits, ActionPoster
from .messaging.admission import Admission, MessageRules
from .messaging.extensions import ExtensionPoster
from .messaging.history import HistoryReader
from .messaging.importer import MessageImporter
from .messaging.posting import MessagePoster
from .messaging.rate_limiter import GroupRateLimiter
from .messaging.request_limits import FairShares, RequestLimits
from .messaging.strangers import StrangerLimit
from .messaging.validation import MessageValidator
from .metrics import Metrics
from .sessions.auth import Auth
from .sessions.bus_listener import BusListener
from .sessions.device_slots import DeviceSlots
from .sessions.fanout import Fanout
from .sessions.live_rooms import LiveRooms
from .sessions.revocations import Revocations
from .sessions.status_watch import StatusWatch
from .settings import Settings
from .social.apply import ChangesetApplier
from .social.entity_cache import EntityCache
from .store.base import Store
from .store.sqlite import SqliteStore

log = logging.getLogger("timim.server")


@dataclass(frozen=True, slots=True)
class _Identity:
    app_id: int = 0
    secret_key: str = ""
    first_start: bool = False


class Server:
    """A timim server in this process, which `async with` starts and stops.

    Args:
        settings: The settings; by default those of the environment and of `timim.toml`.
        now: The server's clock, in seconds since 1970.
    """

    def __init__(self, settings: Settings | None = None, *, now: Callable[[], float] = clock.now) -> None:
        self.settings: Settings = settings or Settings()
        self._now = now
        self._fanout = Fanout()
        self._identity = _Identity()
        self._parts = AsyncExitStack()  # open parts, closed in reverse order
        self._port = 0
        self._tls: ServerTls | None = None
        self._drained_at = 0.0  # deadline of the drain, on the loop's clock

    @property
    def app_id(self) -> int:
        """SDKAppID of the app, for `timim.sign_user`; 0 before the first start."""
        return self._identity.app_id

    @property
    def secret_key(self) -> str:
        """Key that signs users with `timim.sign_user`; empty before the first start."""
        return self._identity.secret_key

    @property
    def first_start(self) -> bool:
        """True if this start generated the app's id and key."""
        return self._identity.first_start

    @property
    def port(self) -> int:
        """Port that the server listens on; 0 before the first start."""
        return self._port

    @property
    def url(self) -> str:
        """URL for clients."""
        host = self.settings.host
        return f"ws{'s' if self.settings.tls_cert else ''}://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def sessions(self) -> int:
        """Number of devices that are logged in."""
        return len(self._fanout)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Open the store and listen. After an error, or when cancelled, nothing is left open.

        Raises:
            InvalidArgument: The settings exclude each other, or need packages that are not installed.
            PortInUse: Another program listens on the port.
            StoreInUse: Another server has the data folder open.
            StorageError: The store cannot be opened.
        """
        async with AsyncExitStack() as parts:
            await self._start(parts)
            self._parts = AsyncExitStack()
            self._parts.callback(self._on_stopped)
            self._parts.push_async_callback(parts.pop_all().aclose)
        log.info("server %s started on %s", self.app_id, self.url)

    async def reload_tls(self) -> None:
        """Read the certificate and its key again, for the connections that follow; without TLS it does nothing.

        Raises:
            InvalidArgument: The files are not valid; the certificate stays as it was.
        """
        if self._tls is not None:
            await self._tls.reload()
            log.info("read the TLS certificate %s again", self.settings.tls_cert)

    async def stop(self) -> None:
        """Drain the server and close it; a second call does nothing.

        All requests in progress together have `drain_s` to end; after that they are cancelled.
        """
        self._drained_at = asyncio.get_running_loop().time() + self.settings.drain_s
        await self._parts.aclose()

    def _on_stopped(self) -> None:
        log.info("server %s on %s stopped", self.app_id, self.url)

    async def _start(self, parts: AsyncExitStack) -> None:
        settings = self.settings
        metrics = Metrics(bus=bool(settings.bus), database=bool(settings.database))
        if settings.tls_cert is not None:
            self._tls = await asyncio.to_thread(ServerTls, settings.tls_cert, settings.tls_key)
        store = await self._open_store(parts, metrics)
        listener = listen(settings.host, settings.port)
        parts.callback(listener.close)
        self._port = listener.getsockname()[1]
        if settings.data_dir is not None and not settings.database:
            await asyncio.to_thread(write_address, settings.data_dir, self.url)
        bus = _nats(settings, self.app_id, store, metrics) if settings.bus else LocalBus()
        entities = EntityCache(store, bus, shared=bool(settings.bus))
        integrations = Integrations(settings, store, entities, bus, app_id=self.app_id, now=self._now)
        device_slots = DeviceSlots(settings.devices, store.device_slots, self._fanout)
        revocations = Revocations(store.revocations, self._fanout, bus, now=self._now)
        statuses = StatusWatch(self._fanout, entities, bus)
        live_rooms = self._live_rooms(store, bus, entities, integrations)
        backlogs = (integrations, live_rooms)
        bus.join(BusListener(self._fanout, entities, device_slots, revocations, backlogs, statuses, random.Random()))
        parts.push_async_callback(bus.stop)
        await bus.start()
        await self._prepare(store, entities)
        parts.push_async_callback(integrations.close)
        await integrations.open()
        blobs = await asyncio.to_thread(BlobStore.from_settings, settings)
        uploads = Uploads(store.media, blobs, settings, now=self._now)
        watches = (revocations, statuses, live_rooms)
        services = await self._services(store, bus, entities, integrations, metrics, blobs, uploads, *watches)
        parts.push_async_callback(lambda: services.changesets.drain(self._drain_left_s()))
        parts.push_async_callback(
            _cancel, asyncio.create_task(_sweep(uploads, settings.media_sweep_s), name="timim media sweep")
        )
        for close in (device_slots.close, revocations.close, statuses.close, live_rooms.close):
            parts.push_async_callback(close)
        auth = Auth(self.app_id, self._secret_keys, store.revocations, now=self._now)
        limits = RequestLimits(settings, metrics, now=time.monotonic)
        shares = FairShares(settings.requests_in_flight_shared, now=time.monotonic)
        endpoint = WebSocketEndpoint(services, ALL_HANDLERS, auth, device_slots, integrations, limits, shares)
        health = HealthEndpoint(store, bus, metrics, open_metrics=settings.open_metrics)
        media, rest = MediaEndpoint(services.downloads, uploads, auth), RestEndpoint(services, ALL_HANDLERS, auth)
        routes = [WebSocketRoute("/{path:path}", endpoint.serve), *rest.routes(), *health.routes(), *media.routes()]
        routes += WelcomeEndpoint(self.app_id, self.url, settings.public_url, routes).routes()
        http = HttpServer(settings, routes, metrics, self._tls)
        parts.push_async_callback(lambda: http.stop(self._drain_left_s()))
        await http.start(listener)
        for warning in warnings_of(settings):
            log.warning("%s", warning)

        async def drain() -> None:
            log.info("server %s on %s is stopping, with %s sessions", self.app_id, self.url, self.sessions)
            health.drain()
            http.refuse()
            endpoint.drain()
            services.downloads.drain()
            await uploads.drain()
            await endpoint.finish(self._drain_left_s())  # before uvicorn stops, because it closes all sockets

        parts.push_async_callback(drain)
        arm()

    async def _open_store(self, parts: AsyncExitStack, metrics: Metrics) -> Store:
        """Open the database, or the file in the data folder, and read the app's id and key.

        Raises:
            InvalidArgument: A bus is set without a database.
            StoreInUse: Another server has the data folder open.
            StorageError: The store cannot be opened.
        """
        settings, folder = self.settings, self.settings.data_dir
        if settings.bus and not settings.database:
            raise InvalidArgument("bus connects nodes that share a database; set database (--database, TIMIM_DATABASE) as well")
        if settings.database:
            store = _postgres(settings, metrics)
            parts.push_async_callback(store.close)
            await store.open()
            self._identity = await _identify_by(settings, store)
            return store
        if folder is not None:
            parts.callback((await asyncio.to_thread(_lock, folder)).release)
        self._identity = await asyncio.to_thread(_identify, settings, folder)
        store = SqliteStore(folder and folder / "timim.db", synchronous=settings.synchronous)
        parts.push_async_callback(store.close)
        await store.open()
        return store

    async def _prepare(self, store: Store, entities: EntityCache) -> None:
        """Create the accounts of the administrators, and begin another history if the settings ask for it."""
        for admin in self.settings.administrators:
            await entities.ensure_account(admin)
        if self.settings.new_epoch:
            await store.set_meta("epoch", secrets.token_hex(8))

    def _live_rooms(self, store: Store, bus: Bus, entities: EntityCache, integrations: Integrations) -> LiveRooms:
        """Create the watch over the members of live rooms."""
        grace_s, outbox = self.settings.live_room_grace_s, integrations.outbox
        return LiveRooms(self._fanout, store, entities, bus, outbox, grace_s=grace_s, now=self._now)

    async def _services(
        self,
        store: Store,
        bus: Bus,
        entities: EntityCache,
        integrations: Integrations,
        metrics: Metrics,
        blobs: BlobStore,
        uploads: Uploads,
        revocations: Revocations,
        statuses: StatusWatch,
        live_rooms: LiveRooms,
    ) -> Services:
        settings, now = self.settings, self._now
        metrics.sessions.set_function(self._fanout.__len__)
        media_url = f"{settings.public_url.rstrip('/') or self.url.replace('ws', 'http', 1)}/media"
        admission = Admission(
            metrics,
            now=now,
            friends_only=settings.friends_only,
            rates=GroupRateLimiter(settings.group_messages_per_s, settings.group_burst_s),
            strangers=StrangerLimit(
                store, per_min=settings.stranger_messages_per_min, burst=settings.stranger_burst, admin=settings.admin
            ),
            receipt_members=settings.receipt_group_members,
        )
        rules = MessageRules(MessageValidator(settings.max_message_bytes, media_url), admission)
        limits = ActionLimits(settings.recall_window_s, settings.reactions_per_message, settings.users_per_reaction)
        return Services(
            metrics=metrics,
            settings=settings,
            store=store,
            entities=entities,
            poster=MessagePoster(store, bus, entities, rules, integrations, metrics, now=now),
            importer=MessageImporter(store, bus, entities, rules.validator, integrations, now=now),
            history=HistoryReader(store, entities, now=now),
            changesets=ChangesetApplier(bus, entities, integrations.outbox, now=now, members_limit=settings.group_members),
            actions=ActionPoster(store, bus, entities, rules, integrations.outbox, now=now, limits=limits),
            extensions=ExtensionPoster(store, bus, entities, rules),
            integrations=integrations,
            bus=bus,
            fanout=self._fanout,
            revocations=revocations,
            statuses=statuses,
            live_rooms=live_rooms,
            uploads=uploads,
            downloads=Downloads(
                store.media,
                blobs,
                sign_keys=[key.encode() for key in self._secret_keys],
                media_url=media_url,
                url_s=settings.media_url_s,
                now=now,
            ),
            now=now,
            epoch=await store.meta("epoch", secrets.token_hex(8)),
            app_id=self.app_id,
        )

    @property
    def _secret_keys(self) -> list[str]:
        """Keys that are accepted; the first one signs."""
        previous = self.settings.previous_secret_key
        return [self.secret_key, previous] if previous else [self.secret_key]

    def _drain_left_s(self) -> float:
        return max(0.0, self._drained_at - asyncio.get_running_loop().time())


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _sweep(uploads: Uploads, every_s: float) -> None:
    """Remove abandoned uploads and unused content every `every_s` seconds until cancelled."""
    while True:
        await asyncio.sleep(every_s)  # not at the start, when all clients reconnect at once
        try:
            if removed := await uploads.sweep():
                log.debug("the media sweep removed %s objects", removed)
        except TimimError as exc:
            log.warning("the media sweep failed and runs again in %s s: %s", every_s, exc)
        except Exception:
            log.exception("the media sweep failed and runs again in %s s", every_s)


async def _identify_by(settings: Settings, store: Store) -> _Identity:
    """Return the app id and the key: those of the settings, or those that the first node stored in the database."""
    app_id = settings.app_id or int(await store.meta("app_id", str(_new_app_id())))
    return _Identity(app_id, settings.secret_key or await store.meta("secret_key", secrets.token_hex(32)))


def _identify(settings: Settings, folder: Path | None) -> _Identity:
    """Return the app id and the key: those of the settings, or those that the first start stored in the data folder."""
    kept: dict[str, str | int] = {}
    file = folder and folder / KEY_FILE
    if file is not None and file.exists():
        kept = json.loads(file.read_text())
    app_id = settings.app_id or int(kept.get("app_id", 0)) or _new_app_id()
    secret_key = settings.secret_key or str(kept.get("secret_key", "")) or secrets.token_hex(32)
    if file is not None and not kept:
        descriptor = private_opener(str(file), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        with os.fdopen(descriptor, "w") as out:
            json.dump({"app_id": app_id, "secret_key": secret_key}, out)
    return _Identity(app_id, secret_key, first_start=not kept)


def _new_app_id() -> int:
    return 1_400_000_000 + secrets.randbelow(90_000_000)


def _postgres(settings: Settings, metrics: Metrics) -> Store:
    try:
        from .store.postgres.engine import PostgresStore
    except ImportError as exc:
        raise InvalidArgument(f"the setting database needs the package {exc.name}; run pip install 'timim[cluster]'") from None
    return PostgresStore(
        settings.database,
        replica_url=settings.database_replica,
        connections=settings.database_connections,
        metrics=metrics.database,
    )


def _nats(settings: Settings, app_id: int, store: Store, metrics: Metrics) -> Bus:
    try:
        from .bus.nats import NatsBus
    except ImportError as exc:
        raise InvalidArgument(f"the setting bus needs the package {exc.name}; run pip install 'timim[cluster]'") from None
    servers = [server.strip() for server in settings.bus.split(",")]
    return NatsBus(servers, prefix=f"timim.{app_id}", memberships=store.groups, metrics=metrics.bus)


def _lock(folder: Path) -> FileLock:
    """Lock the data folder against a second server.

    Raises:
        StoreInUse: Another server has locked the folder.
        StorageError: The lock file cannot be written.
    """
    lock = FileLock(folder / "lock")
    try:
        lock.acquire()
    except BlockingIOError as exc:
        raise StoreInUse(f"another server uses the data folder {folder}; stop it or choose another data_dir") from exc
    except OSError as exc:
        raise StorageError(f"cannot write to the data folder {folder}: {exc.strerror}") from exc
    return lock

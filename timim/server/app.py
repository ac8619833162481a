"""The server, composed: settings → store, bus → timelines → doors → one ASGI application on one port.

`async with Server(Settings(...)) as server` runs it in this loop; `server.url` is what clients connect to. Stopping
drains: no new connections, requests under way are answered, sockets are closed, then the store.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import secrets
import socket as sockets
from collections.abc import Callable
from pathlib import Path
from typing import Self

import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute, WebSocketRoute

from ..errors import InvalidArgument, StorageError, StoreInUse, TimimError
from ..util import clock
from ..util.failpoints import arm
from ..util.file_lock import FileLock
from .bus.base import Bus
from .bus.local import LocalBus
from .content.blob_store import Blobs
from .content.downloads import Media
from .content.uploads import Uploads
from .endpoints.health import ops_routes
from .endpoints.media import media_routes
from .endpoints.websocket import Door
from .handlers import (  # noqa: F401  they register what they serve
    c2c,
    conversation_settings,
    conversations,
    friends,
    group_members,
    groups,
    message_actions,
    profiles,
    read_receipts,
    system,
    web_client,
)
from .handlers.registry import Services
from .integrations.service import Outside
from .messaging.actions import Acts, Limits
from .messaging.admission import Admission
from .messaging.history import Pages
from .messaging.posting import Timelines
from .messaging.rate_limiter import Rates
from .messaging.validation import DraftRules
from .metrics import Metrics
from .sessions.auth import Auth
from .sessions.bus_listener import Node
from .sessions.device_slots import Places
from .sessions.fanout import Fanout
from .settings import Settings
from .social.apply import Plans
from .social.entity_cache import Directory
from .store.base import Store
from .store.sqlite import SqliteStore

log = logging.getLogger("timim.server")
READY_S = 3.0  # a store that answers later is not ready


class PortInUse(TimimError):
    """Another program listens there."""


class Server:
    """A timim server in this process. `app_id` and `secret_key` sign users (`timim.sign_user`)."""

    def __init__(self, settings: Settings | None = None, *, now: Callable[[], float] = clock.now) -> None:
        self.settings: Settings = settings or Settings()
        self._now = now
        self._lock: FileLock | None = None
        self._uvicorn: uvicorn.Server | None = None
        self._task: asyncio.Task[None] | None = None
        self._socket: sockets.socket | None = None
        self._store: Store | None = None
        self._bus: Bus | None = None
        self._door: Door | None = None
        self._plans: Plans | None = None
        self._uploads: Uploads | None = None
        self._media: Media | None = None
        self._sweeping: asyncio.Task[None] | None = None
        self._outside: Outside | None = None
        self._places: Places | None = None
        self._fanout = Fanout()
        self._stopping = False
        self.app_id: int = 0
        self.secret_key: str = ""
        self.first_start: bool = False

    @property
    def port(self) -> int:
        assert self._socket is not None
        port: int = self._socket.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """What a Client connects to."""
        host = self.settings.host
        return f"ws://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def sessions(self) -> int:
        """How many devices are logged in."""
        return len(self._fanout)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen. Raises PortInUse, StoreInUse, StorageError; nothing is left open then."""
        self._stopping = False
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        settings = self.settings
        folder = settings.data_dir
        metrics = Metrics(sessions=lambda: len(self._fanout), bus=bool(settings.bus), database=bool(settings.database))
        if settings.bus and not settings.database:
            raise InvalidArgument("a bus joins nodes that share a database: give --database as well")
        if settings.database:
            store = self._store = _postgres(settings, metrics)
            await store.open()
            await self._identify_by(store)
        else:
            if folder is not None:
                self._lock = await asyncio.to_thread(_lock, folder)
            await asyncio.to_thread(self._identify, folder)
            store = self._store = SqliteStore(folder and folder / "timim.db", synchronous=settings.synchronous)
            await store.open()
        self._socket = _listen(settings.host, settings.port)
        public = settings.public_url.rstrip("/") or self.url.replace("ws", "http", 1)
        bus = self._bus = _nats(settings, self.app_id, store, metrics) if settings.bus else LocalBus()
        directory = Directory(store, bus.announce)
        outside = self._outside = Outside(settings, store, directory, self._fanout, bus, app_id=self.app_id, now=self._now)
        places = self._places = Places(settings.devices, store.places, self._fanout.of)
        bus.join(Node(self._fanout, directory, places, outside.look, random.Random()))
        await bus.start()
        media_url = f"{public}/media"
        auth = Auth(self.app_id, [self.secret_key], admin=settings.admin, now=self._now)
        await directory.ensure_account(settings.admin)
        if settings.new_epoch:
            await store.set_meta("epoch", secrets.token_hex(8))
        await outside.open()
        plans = self._plans = Plans(bus, directory, now=self._now)
        rules = DraftRules(settings.max_message_bytes, media_url)
        admission = Admission(
            metrics,
            now=self._now,
            friends_only=settings.friends_only,
            rates=Rates(settings.group_messages_per_s, settings.group_burst_s),
            receipt_members=settings.receipt_group_members,
        )
        timelines = Timelines(
            store,
            bus,
            directory,
            metrics,
            rules,
            admission,
            now=self._now,
            gate=outside.gate,
            stored=outside.stored,
        )
        blobs = await asyncio.to_thread(Blobs.of, settings)
        uploads = self._uploads = Uploads(store.media, blobs, settings, now=self._now)
        media = self._media = Media(
            store.media,
            blobs,
            sign_key=self.secret_key.encode(),
            media_url=media_url,
            url_s=settings.media_url_s,
            now=self._now,
        )
        limits = Limits(settings.recall_window_s, settings.reactions_per_message, settings.users_per_reaction)
        services = Services(
            metrics=metrics,
            settings=settings,
            store=store,
            directory=directory,
            timelines=timelines,
            pages=Pages(store, directory),
            plans=plans,
            acts=Acts(store, bus, directory, rules, admission, now=self._now, limits=limits),
            bus=bus,
            fanout=self._fanout,
            media=media,
            now=self._now,
            epoch=await store.meta("epoch", secrets.token_hex(8)),
        )
        self._sweeping = asyncio.create_task(_sweep(uploads, settings.media_sweep_s), name="timim media sweep")
        self._door = Door(services, auth, places, media_url=media_url, presence=outside.presence)
        routes: list[BaseRoute] = [
            WebSocketRoute("/{path:path}", self._door.handle),
            *ops_routes(metrics, stopping=lambda: self._stopping, ready=self._ready, open_metrics=settings.open_metrics),
            *media_routes(media, uploads, user_of=auth.user_of),
        ]
        config = uvicorn.Config(
            Starlette(routes=routes),
            ws="websockets-sansio",
            ws_max_size=settings.max_frame_bytes,
            ws_per_message_deflate=False,
            ws_ping_interval=None,  # the wire has its own heartbeat
            lifespan="off",
            access_log=False,  # it would print query strings
            log_config=None,
        )
        self._uvicorn = uvicorn.Server(config)
        self._uvicorn.install_signal_handlers = lambda: None  # type: ignore[attr-defined]  # signals are the CLI's
        self._task = asyncio.create_task(self._uvicorn._serve([self._socket]), name="timim server")
        while not self._uvicorn.started:
            if self._task.done():
                self._task.result()
                raise StorageError("the server ended while starting")
            await asyncio.sleep(0.005)
        arm()

    async def stop(self) -> None:
        """Drain and close; calling it again does nothing. What is under way has `drain_s` to end, all of it together."""
        self._stopping = True
        loop = asyncio.get_running_loop()
        end = loop.time() + self.settings.drain_s
        if self._uvicorn is not None and self._uvicorn.started:
            for listener in self._uvicorn.servers:
                listener.close()  # who connects from now on is refused, and goes to another node
        if self._door is not None:
            self._door.drain()
        if self._uploads is not None and self._media is not None:
            self._media.drain()
            await self._uploads.drain()
        if self._door is not None:
            await self._door.finish(end - loop.time())  # before uvicorn's end, which cuts the sockets as they stand
        if self._uvicorn is not None and self._task is not None:
            self._uvicorn.config.timeout_graceful_shutdown = max(1, int(end - loop.time()))
            self._uvicorn.should_exit = True
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if self._socket is not None:
            self._socket.close()
        if self._places is not None:
            await self._places.close()
            self._places = None
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)
            self._sweeping = None
        if self._plans is not None:
            await self._plans.drain(end - loop.time())
            self._plans = None
        if self._outside is not None:
            await self._outside.close()
            self._outside = None
        if self._bus is not None:
            await self._bus.stop()
            self._bus = None
        if self._store is not None:
            await self._store.close()
            self._store = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    async def _ready(self) -> dict[str, str]:
        """What readiness tells besides. Raises StorageError."""
        if self._store is None or self._bus is None:
            raise StorageError("the server is starting")
        try:
            async with asyncio.timeout(READY_S):
                await self._store.meta("epoch", "")
        except TimeoutError as exc:
            raise StorageError(f"the store did not answer within {READY_S} s") from exc
        return {"bus": "away" if self._bus.away else "ok"}

    async def _identify_by(self, store: Store) -> None:
        """The app id and the key: given, or made by the first node and kept in the database for all."""
        app_id = self.settings.app_id or 1_400_000_000 + secrets.randbelow(90_000_000)
        self.app_id = self.settings.app_id or int(await store.meta("app_id", str(app_id)))
        self.secret_key = self.settings.secret_key or await store.meta("secret_key", secrets.token_hex(32))

    def _identify(self, folder: Path | None) -> None:
        """The app id and the key: given, or made at the first start and kept in the data folder."""
        kept: dict[str, str | int] = {}
        file = folder and folder / "app.json"
        if file is not None and file.exists():
            kept = json.loads(file.read_text())
        self.app_id = self.settings.app_id or int(kept.get("app_id", 0)) or 1_400_000_000 + secrets.randbelow(90_000_000)
        self.secret_key = self.settings.secret_key or str(kept.get("secret_key", "")) or secrets.token_hex(32)
        self.first_start = not kept
        if file is not None and not kept:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as out:
                json.dump({"app_id": self.app_id, "secret_key": self.secret_key}, out)


async def _sweep(uploads: Uploads, every_s: float) -> None:
    """Collect what nobody needs, now and again, for as long as the server runs."""
    while True:
        await asyncio.sleep(every_s)  # not at the start, when everybody comes back at once
        try:
            if gone := await uploads.sweep():
                log.info("the bytes of %s uploads and media were removed", gone)
        except TimimError as exc:
            log.warning("media were not swept, and will be: %s", exc)
        except Exception:
            log.exception("media were not swept, and will be")


def _postgres(settings: Settings, metrics: Metrics) -> Store:
    try:
        from .store.postgres.engine import PostgresStore
    except ImportError as exc:
        raise InvalidArgument(f"PostgreSQL's parts are not installed ({exc.name}): pip install 'timim[cluster]'") from None
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
        raise InvalidArgument(f"NATS's parts are not installed ({exc.name}): pip install 'timim[cluster]'") from None
    servers = [server.strip() for server in settings.bus.split(",")]
    return NatsBus(servers, prefix=f"timim.{app_id}", places_of=store.places_of, metrics=metrics.bus)


def _lock(folder: Path) -> FileLock:
    """Keep a second server off the data folder."""
    lock = FileLock(folder / "lock")
    try:
        lock.acquire()
    except BlockingIOError as exc:
        raise StoreInUse(f"another server has the data folder {folder} open") from exc
    except OSError as exc:
        raise StorageError(f"cannot write to the data folder {folder}: {exc.strerror}") from exc
    return lock


def _listen(host: str, port: int) -> sockets.socket:
    family = sockets.AF_INET6 if ":" in host else sockets.AF_INET
    # asyncio turns Nagle's algorithm off only where it sees that this is TCP; else a push and the reply after it wait
    # 40 ms for the other end's delayed ack
    listener = sockets.socket(family, sockets.SOCK_STREAM, sockets.IPPROTO_TCP)
    listener.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as exc:
        listener.close()
        raise PortInUse(f"cannot listen on {host}:{port}: {exc.strerror}") from exc
    listener.setblocking(False)
    return listener

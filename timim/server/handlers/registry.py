"""Registry of handlers. An endpoint authenticates the caller; a handler gets a typed body and returns a typed reply.

An exception of a handler becomes the ErrorCode and ErrorInfo of the reply. A TimimError has its own code; any other exception
is logged with its traceback and becomes 60002.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias, TypeVar

import msgspec

from ...errors import NotAMember, ServerFault, StorageError, TimimError
from ...protocol.codec import Body, Command, Door, Reply, decode, encode
from ...protocol.raw_json import check_utf8
from ...util.failpoints import failpoint
from ...util.rare_log import RareLog
from ..bus.base import Bus
from ..content.downloads import Downloads
from ..content.uploads import Uploads
from ..integrations.service import Integrations
from ..messaging.actions import ActionPoster
from ..messaging.extensions import ExtensionPoster
from ..messaging.history import PAGE_LIMIT_BYTES, HistoryReader
from ..messaging.importer import MessageImporter
from ..messaging.posting import MessagePoster
from ..metrics import Metrics
from ..sessions.fanout import Fanout
from ..sessions.live_rooms import LiveRooms
from ..sessions.revocations import Revocations
from ..sessions.session import Session
from ..sessions.status_watch import StatusWatch
from ..settings import Settings
from ..social.apply import ChangesetApplier
from ..social.cached_reads import CachedReads
from ..social.callers import Caller, begin_request
from ..social.entity_cache import EntityCache
from ..store.base import StaleRead, Store
from ..store.failures import is_disk_full

log = logging.getLogger("timim.server")
SMALL_REPLY_BYTES = 4096
ATTEMPTS_LIMIT = 20  # about 3 s, enough for several nodes that change one group at the same time
STALE_WAIT_S, STALE_WAIT_LIMIT_S = 0.005, 0.3
_random = random.Random()
_store_log = RareLog(log, every_s=60.0)  # a store that fails refuses thousands of requests a second
B = TypeVar("B", bound=Body)
R = TypeVar("R", bound=Reply)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of the server that handlers use."""

    metrics: Metrics
    settings: Settings
    store: Store
    entities: EntityCache
    poster: MessagePoster
    importer: MessageImporter
    history: HistoryReader
    changesets: ChangesetApplier
    actions: ActionPoster
    extensions: ExtensionPoster
    integrations: Integrations
    bus: Bus
    fanout: Fanout
    revocations: Revocations
    statuses: StatusWatch
    live_rooms: LiveRooms
    uploads: Uploads
    downloads: Downloads
    now: Callable[[], float]
    epoch: str = ""
    app_id: int = 0


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The caller of a request. `admin` is True for an administrator of the app, who has no session.

    `caller` is None on a server that makes no callbacks.
    """

    user: str
    services: Services
    session: Session | None = None
    admin: bool = False
    caller: Caller | None = None


Handler: TypeAlias = Callable[[RequestContext, B], Awaitable[R]]
Decode: TypeAlias = Callable[[Command[Any, Any], bytes | msgspec.Raw], Body]


def decode_body(command: Command[B, R], raw: bytes | msgspec.Raw) -> B:
    """Decode the body of a request of a user.

    Raises:
        ProtocolError: The body is invalid.
    """
    check_utf8(bytes(raw), "the body of the request")  # parts of it may be stored undecoded
    return decode(command.body, raw)


@dataclass(frozen=True, slots=True)
class HandlerRegistry:
    """Commands by name, each with its handler. `paged` names the commands whose replies can be as long as a page of history."""

    served: dict[str, tuple[Command[Any, Any], Handler[Any, Any]]] = field(default_factory=dict)
    paged: set[str] = field(default_factory=set)
    aliases: dict[str, str] = field(default_factory=dict)

    @classmethod
    def sum_of(cls, *registries: HandlerRegistry) -> HandlerRegistry:
        """Return a registry with the handlers of all given registries.

        Raises:
            ValueError: Two registries have a handler of the same command.
        """
        total = cls()
        for registry in registries:
            for name, served in registry.served.items():
                total.add(name, served)
            total.paged.update(registry.paged)
        return total

    def add(self, name: str, served: tuple[Command[Any, Any], Handler[Any, Any]]) -> None:
        """Register the handler of a command.

        Raises:
            ValueError: The command has a handler.
        """
        for known in (name, *served[0].aliases):
            if known in self.served or known in self.aliases:
                raise ValueError(f"{known} has two handlers")
        self.served[name] = served
        self.aliases.update(dict.fromkeys(served[0].aliases, name))

    def rest_command(self, name: str) -> Command[Any, Any] | None:
        """Return the command that REST serves under this name, which may be an alias, or None."""
        served = self.served.get(self.aliases.get(name, name))
        return served[0] if served is not None and Door.REST in served[0].doors else None

    def rest_commands(self) -> list[Command[Any, Any]]:
        """Return all commands that REST serves, by their names."""
        return sorted((command for command, _ in self.served.values() if Door.REST in command.doors), key=lambda c: c.name)

    def reply_bytes(self, name: str) -> int:
        """Return the size for which a session must have room before the command is executed."""
        return PAGE_LIMIT_BYTES if self.aliases.get(name, name) in self.paged else SMALL_REPLY_BYTES

    def serve(self, command: Command[B, R], *, paged: bool = False) -> Callable[[Handler[B, R]], Handler[B, R]]:
        """Register the decorated function as the handler of `command`, whose reply is `paged` or small."""

        def register(handler: Handler[B, R]) -> Handler[B, R]:
            self.add(command.name, (command, handler))
            if paged:
                self.paged.add(command.name)
            return handler

        return register

    async def answer(self, name: str, context: RequestContext, body: bytes | msgspec.Raw) -> bytes:
        """Execute a command, and return its reply as JSON. Errors become replies; only cancellation raises."""
        return encode(await self.reply(name, context, body))

    async def reply(
        self, name: str, context: RequestContext, body: bytes | msgspec.Raw, *, decode_with: Decode = decode_body
    ) -> Reply:
        """Execute a command, and return its reply. Errors become replies; only cancellation raises.

        Args:
            name: The name of the command, or an alias.
            context: The caller.
            body: The body of the request.
            decode_with: Decodes the body, in the form of the door through which it came.
        """
        begun = time.perf_counter()
        name = self.aliases.get(name, name)
        if context.caller is not None:
            begin_request(context.caller, name)
        reply = await self._reply(name, context, body, decode_with)
        label = name if name in self.served else "unknown"
        context.services.metrics.answered(label, reply.error_code, time.perf_counter() - begun)
        return reply

    async def _reply(self, name: str, context: RequestContext, body: bytes | msgspec.Raw, decode_with: Decode) -> Reply:
        served = self.served.get(name)
        if served is None or (Door.REST if context.admin else Door.WEBSOCKET) not in served[0].doors:
            return Reply(
                action_status="FAIL",
                error_code=60009,
                error_info=f"unknown command {name[:80]!r}; docs/reference/wire_protocol.md lists the commands of timim",
            )
        command, handler = served
        try:
            asked = decode_with(command, body)
            failpoint("after-decode")
            reply: Reply
            if context.services.entities.shared:
                reply = await run_current(context, partial(handler, context, asked))
            else:
                try:
                    reply = await handler(context, asked)
                except StaleRead:
                    reply = await run_current(context, partial(handler, context, asked))
        except TimimError as exc:
            return error_reply(exc)
        except Exception:
            log.exception("the handler of %s failed for %s", name, context.user)
            return error_reply(ServerFault("the server has an internal error; nothing was stored, see its log"))
        return reply


async def run_current(context: RequestContext, work: Callable[[], Awaitable[T]]) -> T:
    """Run `work`, and again while it used cached entities that another node has changed, up to ATTEMPTS_LIMIT times.

    A result or a refusal is returned only if the cached entities that `work` used are the current ones. What `work` stores is
    checked in the transaction that stores it, which raises StaleRead; then nothing was stored.
    """
    entities = context.services.entities
    if not entities.shared:  # no other node changes the store, but a read may have been older than a deletion on its way
        for _ in range(ATTEMPTS_LIMIT - 1):
            try:
                return await work()
            except StaleRead:  # the failed transaction has evicted what it was decided from
                context.services.metrics.stale.inc()
        return await work()
    stale = StaleRead("other nodes keep changing the entities of this request")
    with CachedReads() as reads:
        for attempt in range(ATTEMPTS_LIMIT):
            if attempt:
                context.services.metrics.stale.inc()
                # a random wait, because nodes that retry in step would conflict again
                await asyncio.sleep(_random.random() * min(STALE_WAIT_S * 2 ** (attempt - 1), STALE_WAIT_LIMIT_S))
            try:
                result = await work()
            except StaleRead as exc:
                entities.forget(reads)
                stale = exc
                continue
            except TimimError:
                if reads.stored or not await entities.is_outdated(reads):
                    raise
            else:
                if reads.stored or not await entities.is_outdated(reads):
                    return result
    raise stale


def error_reply(exc: TimimError) -> Reply:
    """Return the reply that reports an exception."""
    code, info = exc.code, exc.info
    if isinstance(exc, StorageError):
        full = is_disk_full(exc)
        kind = "a full disk" if full else "the store"
        _store_log.write(logging.WARNING, kind, f"requests fail because of {kind}: {exc}")
        reason = "the server's disk is full" if full else "the server's store is unavailable"
        code, info = ServerFault.code, f"{reason}; nothing was stored, try again later"
    return Reply(
        action_status="FAIL",
        error_code=code or ServerFault.code,
        error_info=info,
        error_reason=NotAMember.reason if isinstance(exc, NotAMember) else msgspec.UNSET,
        retry_after=exc.retry_after if exc.retry_after is not None else msgspec.UNSET,
    )

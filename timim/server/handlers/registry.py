"""The table of commands. A door decodes who asks and hands over; a function gets a typed body and returns a typed reply.

What a function raises becomes the reply's ErrorCode and ErrorInfo: a TimimError by its own code; anything else is a
fault of ours, logged with its traceback and answered 60002, never swallowed.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import msgspec

from ...errors import NotAMember, ServerFault, StorageError, TimimError
from ...protocol.codec import Body, Command, Reply, decode, encode
from ...util.failpoints import failpoint
from ..bus.base import Bus
from ..content.downloads import Media
from ..messaging.actions import Acts
from ..messaging.history import Pages
from ..messaging.posting import Timelines
from ..metrics import Metrics
from ..sessions.fanout import Fanout
from ..sessions.session import Session
from ..settings import Settings
from ..social.apply import Plans
from ..social.entity_cache import Directory
from ..store.base import Stale, Store

log = logging.getLogger("timim.server")
DECIDED_AT_MOST = 20  # some 3 s: a group that more nodes change at once than that is refused to the last
STALE_WAIT_S, STALE_WAIT_MOST_S = 0.005, 0.3
_random = random.Random()
B = TypeVar("B", bound=Body)
R = TypeVar("R", bound=Reply)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Services:
    """What commands work with."""

    metrics: Metrics
    settings: Settings
    store: Store
    directory: Directory
    timelines: Timelines
    pages: Pages
    plans: Plans
    acts: Acts
    bus: Bus
    fanout: Fanout
    media: Media
    now: Callable[[], float]
    epoch: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """Who asks. At the REST door `admin` is true and there is no session."""

    user: str
    services: Services
    session: Session | None = None
    admin: bool = False


@dataclass(slots=True)
class Table:
    """Command name → what serves it."""

    served: dict[str, tuple[Command[Any, Any], Callable[[Call, Any], Awaitable[Any]]]] = field(default_factory=dict)

    def serve(self, command: Command[B, R]) -> Callable[[Callable[[Call, B], Awaitable[R]]], Callable[[Call, B], Awaitable[R]]]:
        """Register the function that serves `command`."""

        def register(function: Callable[[Call, B], Awaitable[R]]) -> Callable[[Call, B], Awaitable[R]]:
            assert command.name not in self.served, command.name
            self.served[command.name] = command, function
            return function

        return register

    async def answer(self, name: str, call: Call, body: bytes | msgspec.Raw) -> bytes:
        """The reply to a command, as JSON text. Never raises but for cancellation."""
        begun = time.perf_counter()
        reply = await self._reply(name, call, body)
        label = name if name in self.served else "unknown"
        call.services.metrics.answered(label, reply.error_code, time.perf_counter() - begun)
        return encode(reply)

    async def _reply(self, name: str, call: Call, body: bytes | msgspec.Raw) -> Reply:
        served = self.served.get(name)
        if served is None:
            return Reply(action_status="FAIL", error_code=60009, error_info=f"timim does not serve {name[:80]}")
        command, function = served
        try:
            asked = decode(command.body, body)
            failpoint("after-decode")
            reply: Reply = await decided(call, partial(function, call, asked))
        except TimimError as exc:
            return refusal(exc)
        except Exception:
            log.exception("%s failed", name)
            return refusal(ServerFault("the server failed; nothing was stored"))
        return reply


async def decided(call: Call, act: Callable[[], Awaitable[T]]) -> T:
    """Decide, and again when another node was first: what was decided by is forgotten then, and nothing was stored."""
    for attempt in range(DECIDED_AT_MOST - 1):
        try:
            return await act()
        except Stale:
            call.services.metrics.stale.inc()
            # nodes that are first in turns must not go on in step
            await asyncio.sleep(_random.random() * min(STALE_WAIT_S * 2**attempt, STALE_WAIT_MOST_S))
    return await act()


def refusal(exc: TimimError) -> Reply:
    """An exception as a reply."""
    code, info = exc.code, exc.info
    if isinstance(exc, StorageError):
        log.error("storage: %s", exc)
        code, info = ServerFault.code, "the server's storage failed; nothing was stored"
    return Reply(
        action_status="FAIL",
        error_code=code or ServerFault.code,
        error_info=info,
        error_reason=NotAMember.reason if isinstance(exc, NotAMember) else msgspec.UNSET,
        retry_after=exc.retry_after if exc.retry_after is not None else msgspec.UNSET,
    )


TABLE = Table()

"""The operator's endpoints: liveness, readiness, metrics. Only this machine may read metrics, unless `open_metrics` is set.

Readiness and metrics do not answer a request that came through a proxy: its sender is a user.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from ipaddress import ip_address

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ...errors import StorageError
from ..bus.base import Bus
from ..metrics import Metrics
from ..store.base import Store

READY_S = 3.0  # a store that does not respond in this time is not ready
CHECK_EVERY_S = 0.5  # many requests do not become many reads of the store
PROXY_HEADERS = ("x-forwarded-for", "forwarded", "x-real-ip", "via")
Endpoint = Callable[[Request], Awaitable[Response]]


class HealthEndpoint:
    """The routes `GET /healthz`, `GET /readyz` and `GET /metrics`."""

    def __init__(self, store: Store, bus: Bus, metrics: Metrics, *, open_metrics: bool) -> None:
        self._store = store
        self._bus = bus
        self._metrics = metrics
        self._open_metrics = open_metrics
        self._draining = False
        self._checking = asyncio.Lock()
        self._checked_at = -CHECK_EVERY_S
        self._ready = False

    def routes(self) -> list[Route]:
        """Return the routes of the endpoint."""
        return [
            Route("/healthz", self._health),
            Route("/readyz", _for_operators(self._readiness)),
            Route("/metrics", _for_operators(self._show)),
        ]

    def drain(self) -> None:
        """Respond 503 to health and readiness checks from now on."""
        self._draining = True

    async def _health(self, request: Request) -> Response:
        return _stopping() if self._draining else JSONResponse({"status": "ok"})

    async def _readiness(self, request: Request) -> Response:
        """Respond 503 while the server stops or its database is unavailable; report the bus, which serving does not need."""
        if self._draining:
            return _stopping()
        async with self._checking:
            now = asyncio.get_running_loop().time()
            if now >= self._checked_at + CHECK_EVERY_S:
                self._ready = await self._check_store()
                self._checked_at = asyncio.get_running_loop().time()
        if not self._ready:
            return JSONResponse({"status": "the store did not respond"}, status_code=503)
        return JSONResponse({"status": "ok", "bus": "away" if self._bus.away else "ok"})

    async def _check_store(self) -> bool:
        try:
            async with asyncio.timeout(READY_S):
                await self._store.meta("epoch", "")
        except (StorageError, TimeoutError):
            return False
        return True

    async def _show(self, request: Request) -> Response:
        if not self._open_metrics and not _is_local(request):
            return Response(status_code=404)
        return Response(self._metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _stopping() -> Response:
    return JSONResponse({"status": "stopping"}, status_code=503)


def _is_local(request: Request) -> bool:
    """Return True if the request comes from this machine."""
    return request.client is not None and ip_address(request.client.host).is_loopback


def _for_operators(endpoint: Endpoint) -> Endpoint:
    async def answer(request: Request) -> Response:
        if any(name in request.headers for name in PROXY_HEADERS):
            return Response(status_code=404)
        return await endpoint(request)

    return answer

"""The operator's door: is it alive, can it serve, what does it do. Metrics are for this machine unless they are opened."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from ipaddress import ip_address

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ...errors import StorageError
from ..metrics import Metrics


def ops_routes(
    metrics: Metrics, *, stopping: Callable[[], bool], ready: Callable[[], Awaitable[dict[str, str]]], open_metrics: bool
) -> list[Route]:
    """`GET /healthz`: 200, and 503 while the server is stopping. `GET /readyz`: 503 also while the database is away.

    `GET /metrics`: Prometheus's text. `ready` raises StorageError, or tells of what is not needed to serve.
    """

    async def health(request: Request) -> Response:
        if stopping():
            return JSONResponse({"status": "stopping"}, status_code=503)
        return JSONResponse({"status": "ok"})

    async def readiness(request: Request) -> Response:
        if stopping():
            return JSONResponse({"status": "stopping"}, status_code=503)
        try:
            return JSONResponse({"status": "ok", **await ready()})
        except StorageError:
            return JSONResponse({"status": "the store does not answer"}, status_code=503)

    async def show(request: Request) -> Response:
        if not open_metrics and not _local(request):
            return Response(status_code=404)
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return [Route("/healthz", health), Route("/readyz", readiness), Route("/metrics", show)]


def _local(request: Request) -> bool:
    """Asked by a program on this machine, and not by way of a proxy."""
    if request.client is None or "x-forwarded-for" in request.headers or "forwarded" in request.headers:
        return False
    return ip_address(request.client.host).is_loopback

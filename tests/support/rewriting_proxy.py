"""A proxy before a test server that rewrites, drops or refuses single frames, as a faulty server would send them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

Frame: TypeAlias = dict[str, Any]
Rewrite: TypeAlias = Callable[[Frame, Frame | None], Frame | None]


class RewritingProxy:
    """A proxy that calls `rewrite` with each frame of the server and its request, and sends what it returns.

    The request of a push is None. A frame for which `rewrite` returns None is dropped.

    Attributes:
        url: The address for clients.
        rewrite: The function; by default it returns the frame.
        requests: Names of the requests that clients sent, in order.
    """

    def __init__(self, server_url: str) -> None:
        self.url = ""
        self.rewrite: Rewrite = lambda frame, request: frame
        self.requests: list[str] = []
        self._server_url = server_url

    async def serve_client(self, client: ServerConnection) -> None:
        assert client.request is not None
        requests: dict[int, Frame] = {}
        async with connect(self._server_url + client.request.path, max_size=None) as server:

            async def up() -> None:
                async for message in client:
                    for frame in _frames(message):
                        requests[frame["head"]["seq"]] = frame
                        self.requests.append(frame["head"]["servcmd"])
                    await server.send(message)

            async def down() -> None:
                async for message in server:
                    for frame in _frames(message):
                        push = "push" in frame["head"]["servcmd"]
                        rewritten = self.rewrite(frame, None if push else requests.get(frame["head"]["seq"]))
                        if rewritten is not None:
                            await client.send(json.dumps(rewritten).encode())

            tasks = [asyncio.create_task(up()), asyncio.create_task(down())]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                for result in await asyncio.gather(*tasks, return_exceptions=True):
                    if isinstance(result, Exception) and not isinstance(result, ConnectionClosed):
                        raise result


def _frames(message: str | bytes) -> list[Frame]:
    decoded = json.loads(message)
    return decoded if isinstance(decoded, list) else [decoded]


def refused(frame: Frame, code: int = 10002) -> Frame:
    """Return a reply that refuses the request of `frame`."""
    return {"head": frame["head"], "body": {"ActionStatus": "FAIL", "ErrorCode": code, "ErrorInfo": "a fault of the test"}}


@asynccontextmanager
async def rewriting_proxy(server_url: str) -> AsyncIterator[RewritingProxy]:
    """Run a proxy before the server at `server_url`."""
    proxy = RewritingProxy(server_url)
    async with serve(proxy.serve_client, "127.0.0.1", 0, max_size=None) as listener:
        port = next(iter(listener.sockets)).getsockname()[1]
        proxy.url = f"ws://127.0.0.1:{port}"
        yield proxy

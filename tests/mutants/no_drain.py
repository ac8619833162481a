"""A server that drops running requests when it is stopped."""

from __future__ import annotations

from timim.cli import main
from timim.server.endpoints.websocket import WebSocketEndpoint

drain = WebSocketEndpoint.drain


def drop(self: WebSocketEndpoint) -> None:
    for answer in self._answers:
        answer.cancel()
    drain(self)


WebSocketEndpoint.drain = drop  # type: ignore[method-assign]

if __name__ == "__main__":
    main()

"""A server that ends at once when it is told to stop, and acks before the commit."""

from __future__ import annotations

import os

import tests.mutants.ack_early  # noqa: F401
from timim.cli import main
from timim.server.endpoints.websocket import WebSocketEndpoint


def end(self: WebSocketEndpoint) -> None:
    os._exit(0)


WebSocketEndpoint.drain = end  # type: ignore[method-assign]

if __name__ == "__main__":
    main()

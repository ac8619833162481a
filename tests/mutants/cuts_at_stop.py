"""A server that stops without waiting for the answers to the closes of its websockets."""

from __future__ import annotations

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from timim.cli import main
from timim.server.endpoints.peer_protocols import PeerWebSocketProtocol

PeerWebSocketProtocol.shutdown = WebSocketsSansIOProtocol.shutdown  # type: ignore[method-assign]

if __name__ == "__main__":
    main()

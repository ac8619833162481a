"""Reader of websocket frames for the fault proxy, which passes them on as the bytes on the wire."""

from __future__ import annotations

import asyncio
import json


class ConnectionEnded(Exception):
    """The client or the server has closed the connection."""


class FrameReader:
    """Reader of one direction of a connection: the HTTP handshake, and then websocket frames.

    Attributes:
        is_data: True if the frame read last is a data frame, and False if it is a control frame.
    """

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._payload = self._mask = b""
        self.is_data = False

    async def handshake(self) -> bytes:
        """Read the HTTP head of the handshake.

        Raises:
            ConnectionEnded: The connection ended.
        """
        try:
            return await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as exc:
            raise ConnectionEnded from exc

    async def next(self) -> bytes:
        """Read the next frame, and return its bytes on the wire.

        Raises:
            ConnectionEnded: The connection ended.
        """
        try:
            head = await self._reader.readexactly(2)
            length = head[1] & 0x7F
            more = b""
            if length == 126:
                more = await self._reader.readexactly(2)
                length = int.from_bytes(more)
            elif length == 127:
                more = await self._reader.readexactly(8)
                length = int.from_bytes(more)
            mask = await self._reader.readexactly(4) if head[1] & 0x80 else b""
            body = await self._reader.readexactly(length)
        except asyncio.IncompleteReadError as exc:
            raise ConnectionEnded from exc
        self.is_data = head[0] & 0x0F < 8
        self._payload, self._mask = body, mask
        return head + more + mask + body

    def user(self) -> str:
        """Return the user of the login in the frame read last, or an empty string if the frame is no login."""
        plain = bytes(byte ^ self._mask[i % 4] for i, byte in enumerate(self._payload)) if self._mask else self._payload
        try:
            value = json.loads(plain)
        except ValueError:
            return ""
        frames = value if isinstance(value, list) else [value]
        for frame in frames:
            identifier = frame.get("head", {}).get("identifier", "")
            if identifier:
                return str(identifier)
        return ""

"""Transport around another one, whose reading can be held back apart from the pauses of its protocol."""

from __future__ import annotations

import asyncio

__all__ = ["HeldTransport"]


class HeldTransport(asyncio.Transport):
    """Transport that passes its calls on, and reads while neither the protocol pauses it nor a turn of others holds it."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport
        self._paused = False  # by the protocol
        self._held = False

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._transport.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._transport.get_protocol()

    def is_reading(self) -> bool:
        return self._transport.is_reading()

    def pause_reading(self) -> None:
        self._paused = True
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._paused = False
        if not self._held:
            self._transport.resume_reading()

    def hold_reading(self) -> None:
        """Read nothing until `release_reading`, also if the protocol resumes."""
        self._held = True
        self._transport.pause_reading()

    def release_reading(self) -> None:
        """Read again, unless the protocol has paused."""
        self._held = False
        if not self._paused:
            self._transport.resume_reading()

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size()

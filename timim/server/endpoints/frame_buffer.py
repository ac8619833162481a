"""Received bytes of a websocket, from which a limited number of frames is parsed in one turn of the event loop.

A peer can send thousands of frames in the bytes of one read. The parser takes `FRAMES_A_TURN` of them, and then other
connections have their turn.
"""

from __future__ import annotations

from collections.abc import Generator

from websockets.server import ServerProtocol
from websockets.streams import StreamReader

__all__ = ["FRAMES_A_TURN", "FrameBuffer"]

FRAMES_A_TURN = 16  # of one connection, which take at most 0.2 ms; a client has one frame in most of its reads


class FrameBuffer(StreamReader):
    """Buffer of one connection, which gives its parser `FRAMES_A_TURN` frames in each turn."""

    def __init__(self) -> None:
        super().__init__()
        self._left = FRAMES_A_TURN

    def attach(self, protocol: ServerProtocol) -> None:
        """Make a new protocol read from this buffer."""
        protocol.reader = self
        protocol.parser = protocol.parse()
        next(protocol.parser)

    def begin_turn(self) -> None:
        """Allow the frames of one more turn, which the parser takes when it is run again."""
        self._left = FRAMES_A_TURN

    @property
    def is_over(self) -> bool:
        """True if the frames of this turn are parsed, and bytes are left for the next one."""
        return self._left == 0 and len(self.buffer) > 0

    def at_eof(self) -> Generator[None, None, bool]:
        """Wait for the first byte of a frame and for its turn; return True if the stream has ended."""
        while not self.buffer or not self._left:
            if self.eof and not self.buffer:
                return True
            yield
        self._left -= 1
        return False

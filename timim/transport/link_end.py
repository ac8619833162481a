"""Why a websocket ended: because of what was sent over it, or for another reason."""

from __future__ import annotations

import enum

from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from ..errors import ConnectionFailed, ProtocolError, TimimError
from ..util.shown_text import shown_text

_REFUSALS = frozenset({CloseCode.PROTOCOL_ERROR, CloseCode.UNSUPPORTED_DATA, CloseCode.INVALID_DATA})
_ENDINGS = frozenset({CloseCode.NORMAL_CLOSURE, CloseCode.GOING_AWAY, CloseCode.SERVICE_RESTART, CloseCode.TRY_AGAIN_LATER})


class LinkEnd(enum.Enum):
    """The cause of the end of a websocket.

    Attributes:
        TOO_LONG: The server received a message over its limit (1009).
        REFUSED: The server could not read what it received (1002, 1003, 1007).
        UNREADABLE: This client could not read what it received.
        CUT: The socket ended without a close frame, or for a reason that does not exclude its content.
        OTHER: The server stopped or ended the session, nothing was heard of the server, or this client closed the websocket.
    """

    TOO_LONG = enum.auto()
    REFUSED = enum.auto()
    UNREADABLE = enum.auto()
    CUT = enum.auto()
    OTHER = enum.auto()

    @property
    def is_lasting(self) -> bool:
        """True if the same content would end the next websocket too."""
        return self in (LinkEnd.TOO_LONG, LinkEnd.REFUSED, LinkEnd.UNREADABLE)


def why_ended(error: TimimError) -> LinkEnd:
    """Return why a websocket ended, from the error of the requests that waited for replies."""
    if isinstance(error, ProtocolError):
        return LinkEnd.UNREADABLE
    closed = error.__cause__
    if not isinstance(closed, ConnectionClosed):
        return LinkEnd.OTHER
    if closed.sent is not None and not closed.rcvd_then_sent:
        return LinkEnd.UNREADABLE if closed.sent.code == CloseCode.MESSAGE_TOO_BIG else LinkEnd.OTHER
    if closed.rcvd is None:
        return LinkEnd.CUT
    if closed.rcvd.code == CloseCode.MESSAGE_TOO_BIG:
        return LinkEnd.TOO_LONG
    if closed.rcvd.code in _ENDINGS:
        return LinkEnd.OTHER
    return LinkEnd.REFUSED if closed.rcvd.code in _REFUSALS else LinkEnd.CUT


def connection_error(closed: ConnectionClosed, *, limit_bytes: int) -> ConnectionFailed:
    """Return the error of a websocket that has ended. `limit_bytes` is the largest message that this client accepts."""
    if closed.sent is not None and closed.sent.code == CloseCode.MESSAGE_TOO_BIG and not closed.rcvd_then_sent:
        return ConnectionFailed(f"the server sent a message of more than {limit_bytes} bytes, which is the limit")
    if closed.rcvd is None:
        return ConnectionFailed("the connection was cut")
    return ConnectionFailed(f"the server closed the connection: {shown_text(closed.rcvd.reason) or f'code {closed.rcvd.code}'}")

"""Why a websocket ended: the codes of the close frames of both sides."""

from __future__ import annotations

import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.frames import Close

from timim import ConnectionFailed, ProtocolError, RequestTimeout
from timim.transport.link_end import LinkEnd, connection_error, why_ended


def ended(rcvd: int | None, sent: int | None, *, by_server: bool = True) -> ConnectionFailed:
    frames = [None if code is None else Close(code, "a reason") for code in (rcvd, sent)]
    closed = ConnectionClosedError(frames[0], frames[1], by_server if None not in frames else None)
    error = connection_error(closed, limit_bytes=10)
    error.__cause__ = closed
    return error


@pytest.mark.parametrize(
    "code, end",
    [
        (1009, LinkEnd.TOO_LONG),
        (1002, LinkEnd.REFUSED),
        (1003, LinkEnd.REFUSED),
        (1007, LinkEnd.REFUSED),
        (1008, LinkEnd.CUT),
        (1011, LinkEnd.CUT),
        (4000, LinkEnd.CUT),
        (1000, LinkEnd.OTHER),
        (1001, LinkEnd.OTHER),
        (1012, LinkEnd.OTHER),
        (1013, LinkEnd.OTHER),
    ],
)
def test_the_code_of_the_server_names_the_cause(code: int, end: LinkEnd) -> None:
    assert why_ended(ended(code, code)) is end
    assert ended(code, code).info == "the server closed the connection: a reason"
    assert end.is_lasting is (end in (LinkEnd.TOO_LONG, LinkEnd.REFUSED))


def test_a_socket_that_ends_without_a_close_frame_is_cut() -> None:
    assert why_ended(ended(None, None)) is LinkEnd.CUT


@pytest.mark.parametrize("rcvd", [None, 1009])
def test_a_message_over_the_limit_of_this_client_is_unreadable(rcvd: int | None) -> None:
    error = ended(rcvd, 1009, by_server=False)
    assert why_ended(error) is LinkEnd.UNREADABLE
    assert error.info == "the server sent a message of more than 10 bytes, which is the limit"
    assert why_ended(ProtocolError("no frame")) is LinkEnd.UNREADABLE
    assert LinkEnd.UNREADABLE.is_lasting


def test_an_end_that_this_client_made_is_none_of_a_message() -> None:
    assert why_ended(ended(1000, 1000, by_server=False)) is LinkEnd.OTHER
    assert why_ended(ended(None, 1000)) is LinkEnd.OTHER
    assert why_ended(RequestTimeout("no heartbeat")) is LinkEnd.OTHER

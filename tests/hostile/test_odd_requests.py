"""Tests of answers to requests out of order: ranges without bytes, bytes that are no frame, operators' pages by a proxy."""

from __future__ import annotations

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.support.hostile_peer import signature
from timim import FileElem
from timim.protocol import session
from timim.protocol.codec import encode
from timim.protocol.frames import Head, encode_frame
from timim.testing import RunningServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
CONTENT = b"0123456789"


@pytest.mark.requirement("H15")
async def test_a_range_without_bytes_is_not_satisfiable(shared_server: RunningServer) -> None:
    await shared_server.add_users("bob")
    async with shared_server.client("alice") as alice, httpx2.AsyncClient(trust_env=False) as http:
        elem = (await alice.c2c("bob").send(FileElem(data=CONTENT, filename="f")))[0]
        assert isinstance(elem, FileElem)
        info = alice.engine.connection.server_info
        for asked, status in (("bytes=-0", 416), ("bytes=10-", 416), ("bytes=-1", 206), ("bytes=-11", 200), ("bytes=9-", 206)):
            headers = {"Authorization": f"Bearer {info.token}", "Range": asked}
            reply = await http.get(f"{info.media_url}/{elem.uuid}", headers=headers)
            assert (asked, reply.status_code) == (asked, status)
            if status == 416:
                assert reply.headers["content-range"] == "bytes */10"


@pytest.mark.requirement("H19")
@pytest.mark.parametrize("logged_in", [False, True])
@pytest.mark.parametrize("junk", [b"no frame", b"[" * 10_000, b'{"head":{}}'])
async def test_bytes_that_are_no_frame_close_the_websocket_with_1002(
    shared_server: RunningServer, logged_in: bool, junk: bytes
) -> None:
    async with connect(shared_server.url) as socket:
        if logged_in:
            head = Head(session.LOGIN.name, seq=1, identifier="alice", usersig=signature(shared_server, "alice"))
            await socket.send(encode_frame(head, b"{}"))
            await socket.recv()
        await socket.send(junk)
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1002
    assert closed.value.rcvd.reason


async def test_a_request_that_was_lost_on_its_way_does_not_close_the_websocket_as_a_fault_of_the_client(
    shared_server: RunningServer,
) -> None:
    """A client would take its messages for the cause of 1002, and fail one of them."""
    async with connect(shared_server.url) as socket:
        head = Head(session.LOGIN.name, seq=1, identifier="alice", usersig=signature(shared_server, "alice"))
        await socket.send(encode_frame(head, encode(session.LoginRequest(client=session.TimelineClient(batch=True)))))
        await socket.recv()
        await socket.send(encode_frame(Head(session.HEARTBEAT.name, seq=3), b"{}"))
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1000, "request 2 was lost: request 3 follows 1")


@pytest.mark.requirement("H38")
@pytest.mark.parametrize("path", ["/metrics", "/readyz"])
async def test_pages_of_operators_show_nothing_through_a_proxy(shared_server: RunningServer, path: str) -> None:
    url = shared_server.url.replace("ws", "http", 1) + path
    async with httpx2.AsyncClient(trust_env=False) as http:
        assert (await http.get(url)).status_code == 200
        for header in ({"X-Forwarded-For": "192.0.2.7"}, {"Forwarded": "for=192.0.2.7"}, {"X-Forwarded-For": "127.0.0.1"}):
            reply = await http.get(url, headers=header)
            assert (reply.status_code, reply.content) == (404, b"")

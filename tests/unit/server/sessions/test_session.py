"""The queue of a session: which websocket messages it writes."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from timim.protocol.codec import decode
from timim.protocol.frames import JOINED_BYTES, Head, decode_frames, encode_frame
from timim.protocol.session import EVENT_C2C_MESSAGE, Push
from timim.server.sessions.auth import Login
from timim.server.sessions.session import ClientInfo, Session

ENTRY = msgspec.Raw(b'"%b"' % (b"x" * 12_000))
MARGIN_BYTES = 1024 * 1024  # of one push: its limit, and the entry that goes past it


def session(max_frame_bytes: int = 0) -> Session:
    client = ClientInfo(is_timim=True, batch=True, max_frame_bytes=max_frame_bytes)
    return Session(Login("ann"), "1", client, queue_bytes=100 * 1024 * 1024, now=lambda: 0.0)


async def test_many_waiting_entries_are_several_pushes_of_limited_size() -> None:
    reader = session()
    for _ in range(1000):
        reader.push(EVENT_C2C_MESSAGE, ENTRY)
    announced = reader.pushes
    frames = [frame for message in await reader.next_messages() for frame in decode_frames(message)]
    pushes = [decode(Push[msgspec.Raw], frame.body) for frame in frames]
    assert [frame.head.seq for frame in frames] == [*range(1, announced + 1)]
    assert sum(len(event.c2c) for push in pushes for event in push.events) == 1000
    assert max(len(bytes(frame.body)) for frame in frames) < MARGIN_BYTES
    assert len(frames) > 1


async def test_replies_are_joined_up_to_the_limit_of_the_client() -> None:
    reply = encode_frame(Head("a.b", 1), b'{"a":"%b"}' % (b"x" * 200_000))
    for told, limit in ((0, JOINED_BYTES), (500_000, 500_000), (8 * JOINED_BYTES, JOINED_BYTES)):
        reader = session(told)
        for _ in range(20):
            reader.reply(reply)
        messages = await reader.next_messages()
        assert sum(len(decode_frames(message)) for message in messages) == 20
        assert limit / 2 < max(map(len, messages)) <= limit


@pytest.mark.requirement("H26")
async def test_replies_have_less_room_than_pushes() -> None:
    client = ClientInfo(is_timim=True, batch=True)
    reader = Session(Login("ann"), "1", client, queue_bytes=1 << 20, reply_bytes=1000, now=lambda: 0.0)
    await reader.reserve(5000)  # one reply may be larger
    waiting = asyncio.create_task(reader.reserve(500))
    await asyncio.sleep(0)
    assert not waiting.done()
    reader.push(EVENT_C2C_MESSAGE, ENTRY)
    assert not reader.closed_because
    reader.release(5000)
    async with asyncio.timeout(5):
        await waiting

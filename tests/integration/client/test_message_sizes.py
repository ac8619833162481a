"""Messages and requests of any size: each is sent or refused by itself, and the connection stays."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio
from PIL import Image

import timim
from timim import Client, ConnectionLost, ConversationChanged, ImageElem, Message, MessageStatus, OfflinePush, TextElem
from timim.protocol.elems import encode_body
from timim.protocol.frames import join_frames
from timim.protocol.messages import Address, RoamC2CReply
from timim.testing import EventRecorder, RunningServer, running_server
from timim.transport.websocket import Link

USERS = [f"u{i}" for i in range(6)]
FRAME_BYTES = 64 * 1024
LONG = "x" * FRAME_BYTES


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[RunningServer]:
    async with running_server(max_frame_bytes=FRAME_BYTES) as running:
        await running.add_users(*USERS, "part", "edge", "early")
        yield running


async def burst(server: RunningServer) -> list[timim.ClientEvent]:
    """Send 120 messages of 12 KB to six users at once; return the losses of the connection until all are sent in order."""
    async with server.client("ann") as ann:
        events = EventRecorder(ann, ConnectionLost)
        sends = [asyncio.create_task(ann.c2c(user).send(f"{i} " + "x" * 12_000)) for i in range(20) for user in USERS]
        ends: list[asyncio.Future[Any]] = [asyncio.create_task(events.wait_for_event(ConnectionLost)), asyncio.gather(*sends)]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        ends[0].cancel()
        if not events.events:
            for user in USERS:
                page = await ann.c2c(user).get_messages(100)
                assert [int(message.text.split()[0]) for message in page] == [*range(19, -1, -1)]
        await ann.close()
        await asyncio.gather(*sends, return_exceptions=True)
        return events.events


async def test_a_burst_of_long_messages_is_sent_in_order_over_one_connection(server: RunningServer) -> None:
    assert not await burst(server)


async def test_frames_joined_by_their_number_alone_are_detected(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def join_all(frames: Sequence[bytes], *, limit_bytes: int) -> list[bytes]:
        return [join_frames(frames)]

    monkeypatch.setattr("timim.transport.websocket.join_in_batches", join_all)
    assert await burst(server)


PARTS: dict[str, Callable[[timim.Conversation], Awaitable[object]]] = {
    "text": lambda bob: bob.send("x" * 13_000),
    "a long text": lambda bob: bob.send("x" * 3_000_000),
    "cloud_custom_data": lambda bob: bob.send(Message("hi", cloud_custom_data="x" * 13_000)),
    "push": lambda bob: bob.send("hi", push=OfflinePush(desc="x" * 6_500, ext="x" * 6_500)),
    "all together": lambda bob: bob.send(Message("é" * 2500, cloud_custom_data="x" * 4000), push=OfflinePush(desc="x" * 4000)),
}


@pytest.mark.parametrize("part", PARTS)
async def test_each_part_of_a_message_counts_and_nothing_is_stored(server: RunningServer, part: str) -> None:
    async with server.client("ann") as ann:
        with pytest.raises(timim.MessageTooLong, match="the limit is 12288") as refused:
            await PARTS[part](ann.c2c("part"))
        assert refused.value.code == 8001
        assert not await ann.c2c("part").get_local_messages(100)


async def test_a_message_at_the_limit_is_sent_and_one_byte_more_is_refused(server: RunningServer) -> None:
    longest = 12_288 - len(encode_body([TextElem(text="")]))
    async with server.client("ann") as ann:
        sent = await ann.c2c("edge").send("x" * longest)
        assert sent.status is MessageStatus.SUCCEEDED
        message = Message("x" * (longest + 1))
        with pytest.raises(timim.MessageTooLong):
            await ann.c2c("edge").send(message)
        assert message.status is None


async def test_a_message_that_was_stored_before_the_limit_was_known_fails_alone(server: RunningServer) -> None:
    ann = server.client("ann")
    await ann.open()
    texts = ("first", "x" * 13_000, "last")
    sends = [asyncio.create_task(ann.c2c("early").send(text)) for text in texts]
    await asyncio.sleep(0)
    await ann.login()
    first, long, last = await asyncio.gather(*sends, return_exceptions=True)
    assert isinstance(long, timim.MessageTooLong)
    assert isinstance(first, Message)
    assert isinstance(last, Message)
    assert [(m.text[:5], m.status.name) for m in await ann.c2c("early").get_local_messages() if m.status] == [
        ("last", "SUCCEEDED"),
        ("xxxxx", "FAILED"),
        ("first", "SUCCEEDED"),
    ]
    await ann.close()


async def test_a_message_that_is_too_long_with_its_uploaded_content_fails_alone() -> None:
    async with running_server(max_message_bytes=300) as server, server.client("ann") as ann:
        await server.add_users("bob")
        picture = io.BytesIO()
        Image.new("RGB", (4, 4)).save(picture, "PNG")
        message = Message(ImageElem(data=picture.getvalue()))
        with pytest.raises(timim.MessageTooLong):
            await ann.c2c("bob").send(message)
        assert message.status is MessageStatus.FAILED
        assert (await ann.c2c("bob").send("after")).seq == 1


REQUESTS: dict[str, Callable[[Client], Awaitable[object]]] = {
    "a group of many members": lambda ann: ann.groups.create(
        "Public", name="g", members=[f"member-{i:08}" for i in range(5000)]
    ),
    "an introduction": lambda ann: ann.groups.create("Public", name="g", introduction=LONG),
    "a group's data": lambda ann: ann.groups.create("Public", name="g", custom={f"k{i}": "x" * 4000 for i in range(20)}),
    "a nickname": lambda ann: ann.profile.set(nickname=LONG),
    "a remark": lambda ann: ann.friends.set_remark("u0", LONG),
    "an application": lambda ann: ann.friends.add("u0", wording=LONG),
    "many applications": lambda ann: ann.friends.add_group("a group", [f"user-{i:08}" for i in range(8000)]),
}


async def is_refused_alone(server: RunningServer, kind: str) -> bool:
    """Return True if a request is refused, and neither it nor the next message costs the connection."""
    async with server.client("ann") as ann:
        events = EventRecorder(ann, ConnectionLost)
        with pytest.raises(timim.TimimError) as refused:
            await REQUESTS[kind](ann)
        await ann.c2c("u0").send("after")
        return not events.events and not isinstance(refused.value, timim.NetworkError)


@pytest.mark.parametrize("kind", REQUESTS)
async def test_a_request_over_the_limit_of_the_server_is_refused_alone(server: RunningServer, kind: str) -> None:
    assert await is_refused_alone(server, kind)


async def test_a_draft_over_the_limit_of_the_server_does_not_keep_other_drafts_from_being_sent() -> None:
    async with running_server(max_frame_bytes=8000) as server:
        await server.add_users("long", "short")
        ann = server.client("ann")
        await ann.open()
        await ann.c2c("long").set_draft("x" * 10_000)
        await ann.c2c("short").set_draft("short")
        async with ann, server.client("ann") as other:
            events = EventRecorder(other, ConversationChanged)
            if not other.c2c("short").draft:
                await events.wait_for_event(ConversationChanged)
            assert (other.c2c("long").draft, other.c2c("short").draft) == ("", "short")
            assert ann.c2c("long").draft == "x" * 10_000


async def test_a_client_that_ignores_the_limit_of_the_server_is_detected(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Link, "limit_bytes", property(lambda link: 0, lambda link, limit: None), raising=False)
    assert not await is_refused_alone(server, "a group of many members")


async def history_of_10_kb(ann: Client) -> RoamC2CReply:
    """Fetch ten messages of 1 KB in one reply."""
    request = Address(peer="u5").history_request(1, 1000, 10)
    return cast(RoamC2CReply, await ann.engine.connection.link().send(request, timeout_s=9))


async def test_a_reply_over_the_limit_of_the_client_is_refused_alone_and_history_is_read_in_parts(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with server.client("eve") as eve:
        await asyncio.gather(*(eve.c2c("u5").send("x" * 1000) for _ in range(10)))
        assert len((await history_of_10_kb(eve)).messages) == 10
    monkeypatch.setattr("timim.transport.connection.MAX_FRAME_BYTES", 5000)
    async with server.client("eve") as eve:
        events = EventRecorder(eve, ConnectionLost)
        with pytest.raises(timim.ServerRefused, match="this client accepts 5000") as refused:
            await history_of_10_kb(eve)
        assert refused.value.code == 10018
        assert [len(m.text) async for m in eve.c2c("u5").history()] == [1000] * 10
        assert not events.events


async def test_a_reply_that_this_client_does_not_accept_ends_its_request_with_the_reason(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with server.client("fay", data_dir=tmp_path) as fay:
        await asyncio.gather(*(fay.c2c("u5").send("x" * 1000) for _ in range(10)))
    monkeypatch.setattr("timim.transport.websocket.MAX_FRAME_BYTES", 5000)
    async with server.client("fay", data_dir=tmp_path) as fay:
        with pytest.raises(timim.ConnectionFailed, match="more than 5000 bytes, which is the limit"):
            await history_of_10_kb(fay)
        assert (await fay.c2c("u5").send("after")).status is MessageStatus.SUCCEEDED

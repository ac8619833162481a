"""Tests of outgoing messages and their content: in order, once, and on disk before they leave."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec
import pytest
from PIL import Image

import timim
from timim import Conversation, FileElem, ImageCompression, ImageElem, ImageType, Message, MessageStatus, SoundElem, TextElem
from timim.ids import ConversationKey, ConversationType, parse_msg_id
from timim.protocol.elems import encode_body
from timim.protocol.messages import SEND_C2C, SEND_GROUP, SendC2CRequest, SendGroupRequest
from timim.sqlite.database import report_together
from timim.storage import Ack, AckResult, LocalStore, Outgoing
from timim.testing import RunningServer, running_server

WAIT_S = 20


@pytest.fixture
async def server() -> AsyncIterator[RunningServer]:
    async with running_server() as running:
        yield running


@pytest.mark.requirement("P03")
async def test_messages_sent_offline_are_delivered_in_order_after_a_restart(server: RunningServer, tmp_path: Path) -> None:
    await server.add_users("alice", "bob")
    alice = server.client("alice", data_dir=tmp_path)
    await alice.open()
    waiting = [asyncio.create_task(alice.c2c("bob").send(f"{i}")) for i in range(50)]
    await on_disk(alice.c2c("bob"), 50)
    await alice.close()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(outcome, timim.NotLoggedIn) for outcome in outcomes)
    async with server.client("alice", data_dir=tmp_path) as again, server.client("bob") as bob:
        async with again.c2c("bob").expect(lambda m: False) as never:
            await again.c2c("bob").send("last")
        never.cancel()
        texts = [m.text async for m in bob.c2c("alice").history(oldest_first=True)]
        assert texts == [*map(str, range(50)), "last"]


@pytest.mark.requirement("F03")
async def test_unsent_messages_of_an_earlier_run_fail_when_the_user_chose_so(server: RunningServer, tmp_path: Path) -> None:
    await server.add_users("alice", "bob")
    alice = server.client("alice", data_dir=tmp_path)
    await alice.open()
    sending = asyncio.create_task(alice.c2c("bob").send("unsent"))
    await on_disk(alice.c2c("bob"), 1)
    await alice.close()
    with pytest.raises(timim.NotLoggedIn):
        await sending
    async with server.client("alice", data_dir=tmp_path, resend=False) as again:
        (left,) = await again.c2c("bob").get_local_messages()
        assert left.status is MessageStatus.FAILED
        assert len(await again.c2c("bob").get_messages()) == 1  # the failed message; the server has none
        await again.c2c("bob").send("next")
    async with server.client("bob") as bob:
        assert [m.text for m in await bob.c2c("alice").get_messages()] == ["next"]


async def on_disk(conversation: Conversation, count: int) -> None:
    """Wait until the local store has `count` messages of the conversation."""
    async with asyncio.timeout(WAIT_S):
        while len(await conversation.get_local_messages(100)) < count:
            pass


SENDER = """
import asyncio, sys
from pathlib import Path
from typing import Any
from timim import Client, FileElem, VideoElem
async def main(url, app_id, sig, folder):
    client = Client(url, app_id=int(app_id), user_id="alice", user_sig=sig, data_dir=folder)
    await client.open()
    sending = asyncio.create_task(client.c2c("bob").send("look", FileElem(data=b"kept" * 100_000, filename="f")))
    while not len(await client.c2c("bob").get_local_messages()):
        await asyncio.sleep(0)
    print("on disk", flush=True)
    await asyncio.sleep(60)
asyncio.run(main(*sys.argv[1:]))
"""


async def test_content_given_as_bytes_is_sent_after_the_sender_was_killed(server: RunningServer, tmp_path: Path) -> None:
    await server.add_users("alice", "bob")
    signature = timim.sign_user(server.app_id, server.secret_key, "alice")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SENDER, server.url, str(server.app_id), signature, str(tmp_path)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"on disk\n"
    process.kill()
    await process.communicate()
    assert await asyncio.to_thread(outgoing, tmp_path) == [400_000]
    bob = server.client("bob")
    arrived = bob.wait_for(lambda m: m.text == "look", timeout=WAIT_S)
    async with bob, server.client("alice", data_dir=tmp_path):
        got = await arrived
        assert isinstance(got[1], FileElem)
        assert await got[1].read() == b"kept" * 100_000
        assert got[1].filename == "f"
    assert await asyncio.to_thread(outgoing, tmp_path) == []


def outgoing(folder: Path) -> list[int]:
    """Return the sizes of the files that are kept until their messages are sent."""
    return [path.stat().st_size for path in folder.glob("*/*/outgoing/*")]


@pytest.mark.requirement("F35")
async def test_the_local_database_holds_no_media_bytes(server: RunningServer, tmp_path: Path) -> None:
    secret = b"\xa5media bytes of their own\x5a" * 10_000
    async with server.client("alice", data_dir=tmp_path / "a") as alice, server.client("bob", data_dir=tmp_path / "b") as bob:
        arrived = bob.wait_for(lambda m: len(m) == 2, timeout=WAIT_S)
        await alice.c2c("bob").send(SoundElem(data=secret, duration=1), FileElem(data=secret, filename="x"))
        await arrived
    names, holding = await asyncio.to_thread(look_for, secret[:24], tmp_path)
    assert "messages.db" in names
    assert holding == []


def look_for(secret: bytes, folder: Path) -> tuple[list[str], list[str]]:
    """Return the names of all files, and of the files that contain these bytes."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path.name for path in files], [path.name for path in files if secret in path.read_bytes()]


async def test_a_compressed_picture_is_smaller_and_is_the_one_sent(server: RunningServer) -> None:
    noise = Image.effect_noise((2000, 1500), 60).convert("RGB")
    out = io.BytesIO()
    noise.save(out, "JPEG", quality=95)
    async with server.client("alice") as alice, server.client("bob"):
        sizes = {}
        for level in ImageCompression:
            sent = await alice.c2c("bob").send(ImageElem(data=out.getvalue(), compression=level))
            image = sent[0]
            assert isinstance(image, ImageElem)
            original = image.images[ImageType.ORIGINAL]
            sizes[level] = (min(original.width, original.height), original.size)
            assert len(await original.read()) == original.size
    assert sizes[ImageCompression.ORIGINAL] == (1500, len(out.getvalue()))
    assert sizes[ImageCompression.HD][0] == 1440
    assert sizes[ImageCompression.HIGH][0] == 960
    assert sizes[ImageCompression.HIGH][1] < sizes[ImageCompression.HD][1] < sizes[ImageCompression.ORIGINAL][1]


async def test_sends_started_together_keep_their_order(server: RunningServer) -> None:
    async with server.client("alice") as alice, server.client("bob") as bob:
        conversation = alice.c2c("bob")
        mixed = [FileElem(data=b"x" * 200_000) if i % 10 == 0 else TextElem(text=str(i)) for i in range(40)]
        sent = await asyncio.gather(*(conversation.send(elem) for elem in mixed))
        assert [m.seq for m in sent] == list(range(1, 41))
        kinds = [type(m[0]) async for m in bob.c2c("alice").history(oldest_first=True)]
        assert kinds == [type(elem) for elem in mixed]


async def test_more_conversations_than_request_slots_are_all_served(server: RunningServer) -> None:
    peers = [f"u{i}" for i in range(40)]
    await server.add_users(*peers)
    async with server.client("alice") as alice:
        sent = await asyncio.gather(*(alice.c2c(peer).send(str(i)) for i in range(40) for peer in peers))
        assert {m.status for m in sent} == {MessageStatus.SUCCEEDED}
        assert sorted(m.seq for m in sent) == sorted(list(range(1, 41)) * 40)


@pytest.mark.requirement("F23", "F26")
async def test_ids_and_times_come_from_the_server_after_the_ack(server: RunningServer) -> None:
    async with server.client("alice") as alice, server.client("bob") as bob:
        heard = [bob.wait_for(lambda m: m.text == "a", timeout=WAIT_S), bob.wait_for(lambda m: m.text == "b", timeout=WAIT_S)]
        messages = [Message("a"), Message("b")]
        ids = [m.msg_id for m in messages]
        await asyncio.gather(*(alice.c2c("bob").send(m) for m in messages))
        for mine, arriving in zip(messages, heard, strict=True):
            theirs = await arriving
            assert (mine.msg_id, mine.unique_id, mine.timestamp) == (theirs.msg_id, theirs.unique_id, theirs.timestamp)
            assert 0 < len(mine.msg_id) <= 30
            assert 0 < mine.unique_id < 1 << 64
        assert [m.msg_id for m in messages] == ids
        assert ids[0] != ids[1]
        assert messages[0].unique_id < messages[1].unique_id  # the same order on all devices, also within one second


FORK = """
import os
from timim.util.msg_ids import MSG_IDS
MSG_IDS.new(1)
if child := os.fork():
    os.waitpid(child, 0)
print(MSG_IDS.new(1), flush=True)
"""


def test_a_forked_child_is_another_source() -> None:
    made = subprocess.run([sys.executable, "-c", FORK], check=True, capture_output=True, text=True).stdout.split()
    assert len({parse_msg_id(one).source for one in made}) == 2


async def test_messages_with_the_same_time_and_random_of_two_processes_are_two(server: RunningServer) -> None:
    async with server.client("alice") as alice:
        await server.add_users("bob")
        group = await alice.groups.create("Public", name="g", members=["bob"])

        async def post(source: int) -> list[int]:
            body = msgspec.Raw(encode_body([TextElem(text=f"{source}")]))
            c2c = SendC2CRequest(to_account="bob", msg_random=7, client_time=1_700_000_000, source=source, msg_body=body)
            to_group = SendGroupRequest(group_id=group.id, random=7, client_time=1_700_000_000, source=source, msg_body=body)
            link = alice.engine.connection.link()
            to_bob = await link.call(SEND_C2C, c2c, timeout_s=9)
            return [to_bob.timeline_seq, (await link.call(SEND_GROUP, to_group, timeout_s=9)).timeline_seq]

        first = await post(0)
        second, third = ([seq + more for seq in first] for more in (1, 2))
        assert [await post(1), await post(2**31 - 1), await post(1), await post(0)] == [second, third, second, first]
        with pytest.raises(timim.TimimError, match="TimelineMsgSource") as refused:
            await post(2**31)
        assert refused.value.code == 90005
        async with server.client("bob") as bob:
            for conversation in (bob.c2c("alice"), bob.group(group.id)):
                ids = [m.msg_id async for m in conversation.history() if m.text]
                assert ids == ["1700000000-7-7fffffff", "1700000000-7-1", "1700000000-7"]


@pytest.mark.requirement("F22")
async def test_the_sender_sees_the_profile_the_server_wrote(server: RunningServer) -> None:
    async with server.client("alice") as alice, server.client("bob"):
        sent = await alice.c2c("bob").send("hi")
        assert sent.sender_profile is not None
        assert sent.sender_profile.identifier == "alice"
        group = await alice.groups.create("Public", name="team", members=["bob"])
        told = await group.conversation.send("hi all")
        assert told.sender_member is not None
        assert (told.sender_member.member, told.sender_member.role) == ("alice", "Owner")


@pytest.mark.parametrize("kind", ["c2c", "group"])
@pytest.mark.requirement("F03")
async def test_a_message_stored_before_the_crash_does_not_fail_when_resending_is_off(tmp_path: Path, kind: str) -> None:
    """Test that this message succeeds at the next login, and that a message that never left fails."""
    async with running_server(group_messages_per_s=0) as server:
        await server.add_users("bob")
        alice = server.client("alice", data_dir=tmp_path)
        await alice.login()
        group = (await alice.groups.create("Public", name="g", members=["bob"])).id

        def room(client: timim.Client) -> Conversation:
            peer = "alice" if client.user_id == "bob" else "bob"
            return client.group(group) if kind == "group" else client.c2c(peer)

        await room(alice).send("first")
        await server.restart(crash_at="before-publish")  # after the commit, before the ack
        stored = asyncio.create_task(room(alice).send("stored, and never acked"))
        await server.wait_for_exit()
        unsent = asyncio.create_task(room(alice).send("never left"))
        await on_disk(room(alice), 3)
        await alice.close()
        await asyncio.gather(stored, unsent, return_exceptions=True)
        await server.start()
        async with server.client("bob") as bob:
            for n in range(5):  # so that in a group the conversation list alone does not contain the message
                await room(bob).send(str(n))
            async with server.client("alice", data_dir=tmp_path, resend=False) as again:
                became = {m.text: m.status for m in await room(again).get_local_messages(20)}
                assert became["stored, and never acked"] is MessageStatus.SUCCEEDED
                assert became["never left"] is MessageStatus.FAILED
                await room(again).send("next")
            history = [m.text async for m in room(bob).history(oldest_first=True)]
            assert history == ["first", "stored, and never acked", *"01234", "next"]


async def store_row(store: LocalStore, message: Message) -> int:
    """Store a message as SENDING, and return its local_id."""
    stored: asyncio.Future[int | Exception] = asyncio.get_running_loop().create_future()
    store.messages.add_outgoing(Outgoing(message, b"[]", noted=False, listed_at=0), stored.set_result)
    local_id = await stored
    assert isinstance(local_id, int)
    return local_id


async def settle(store: LocalStore, *acks: Ack) -> Sequence[AckResult | Exception]:
    """Store acks together, and return their results."""
    settled: asyncio.Future[Sequence[AckResult | Exception]] = asyncio.get_running_loop().create_future()

    def on_settled(_: Sequence[Ack], results: Sequence[AckResult | Exception]) -> None:
        settled.set_result(results)

    together = report_together(on_settled)
    for ack in acks:
        store.messages.settle(ack, together)
    store.flush()
    return await settled


async def test_unsent_messages_are_ordered_after_those_the_server_has() -> None:
    key = ConversationKey(ConversationType.C2C, "bob")
    async with LocalStore(None) as store:
        messages = [Message(f"{n}") for n in range(4)]
        for n, message in enumerate(messages):
            message._key, message._msg_id, message._sender = key, f"{n + 1}-1", "alice"
        ids = await asyncio.gather(*(store_row(store, message) for message in messages))
        await settle(store, *(Ack(key, ids[n], f"{n + 1}-1", n + 7, 1, b"[]") for n in (0, 1)))
        assert [m.local_id for m in await store.messages.page(key, 10)] == ids[::-1]
        await settle(store, *(Ack(key, ids[n], f"{n + 1}-1", n + 7, 1, None) for n in (2, 3)))
        assert [(m.local_id, m.seq) for m in await store.messages.page(key, 10)] == [
            *zip(ids[::-1], (10, 9, 8, 7), strict=True)
        ]


async def test_the_ack_of_a_deleted_message_does_not_touch_the_row_that_reuses_its_local_id() -> None:
    key = ConversationKey(ConversationType.C2C, "bob")
    async with LocalStore(None) as store:
        gone, next_ = Message("gone"), Message("next")
        for n, message in enumerate((gone, next_)):
            message._key, message._msg_id, message._sender = key, f"{n + 1}-1", "alice"
        gone._local_id = await store_row(store, gone)
        assert (await store.messages.delete(gone)).done
        next_._local_id = await store_row(store, next_)
        assert next_.local_id == gone.local_id
        acks = [Ack(key, m.local_id, m.msg_id, seq, 1, b"[]") for seq, m in ((1, gone), (2, next_))]
        settled = await settle(store, *acks)
        assert [result.status for result in settled if isinstance(result, AckResult)] == [None, MessageStatus.SUCCEEDED]
        assert (await store.conversations.coverage(key)).intervals == ((2, 2),)
        assert not (await store.messages.delete(gone, keep_row=True)).done
        with pytest.raises(timim.InvalidArgument):
            await store.messages.set_custom_int(gone, 7)
        (held,) = await store.messages.page(key, 10)
        assert (held.seq, held.custom_int, held.status) == (2, 0, MessageStatus.SUCCEEDED)


async def test_cloud_data_that_is_not_text_is_refused_alone(server: RunningServer) -> None:
    async with server.client("alice") as alice, server.client("bob"):
        conv = alice.c2c("bob")
        message = Message("bad")
        message.cloud_custom_data = "\ud800"
        bad, *good = await asyncio.gather(conv.send(message), conv.send("one"), conv.send("two"), return_exceptions=True)
        assert isinstance(bad, timim.InvalidArgument)
        assert bad.code == 6017
        assert "cloud_custom_data" in str(bad)
        assert [m.seq for m in good if isinstance(m, Message)] == [1, 2]

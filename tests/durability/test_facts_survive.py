"""Tests that the properties of a message survive each way in which the message can be received or read again.

Properties of the device: the mark of a deleted message (F20, F24), custom_int and custom_data (F18, F25). Properties of the
account: is_read (F19). Properties of the server: the sender and the sender's profile at the time of sending (F22), seq,
unique_id and time (F23, F26).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec import Raw

import timim
from timim import Client, ConversationType, Message, MessageStatus, SoundElem
from timim.engine.decoding import decode_message
from timim.ids import parse_msg_id
from timim.local_store import timeline_state
from timim.local_store.types import IngestBatch
from timim.protocol import messages as wire
from timim.protocol.coverage import Coverage
from timim.testing import EventRecorder, RunningServer, running_server

WAIT_S = 20


@pytest.fixture
async def server() -> AsyncIterator[RunningServer]:
    async with running_server(group_messages_per_s=0) as running:
        yield running


@dataclass
class Scene:
    """Alice's device with a message of bob on which every local property was set, and bob's client."""

    server: RunningServer
    folder: Path
    alice: Client
    bob: Client
    group: str
    thrown: EventRecorder

    async def message(self, device: Client | None = None) -> Message:
        """Return the message under test, from the device's store or from the server."""
        page = await (device or self.alice).group(self.group).get_messages(20)
        return next(m for m in page if m.seq == 2)


DEVICE = ("status", "custom_int", "custom_data")
ACCOUNT = ("is_read",)
SERVER = ("sender", "sender_profile", "sender_member", "seq", "unique_id", "msg_id", "timestamp", "text")


def facts(message: Message, *names: str) -> dict[str, object]:
    return {name: getattr(message, name) for name in names}


async def push_again(scene: Scene) -> None:
    """Push the message again, so that it is stored again."""
    fetched = await scene.alice.engine.history._fetcher.fetch_newest(scene.alice.group(scene.group).key, 2, 2)
    inbox = scene.alice.engine.inbox
    assert inbox is not None
    inbox.push([(scene.alice.group(scene.group).key, fetched.entries[0])])
    async with scene.alice.group(scene.group).expect(lambda m: m.text == "behind it", timeout=WAIT_S) as behind:
        await scene.bob.group(scene.group).send("behind it")
    await behind
    again = IngestBatch(
        scene.alice.group(scene.group).key,
        [decode_message(fetched.entries[0], "alice")],
        live=True,
        delivered_seq=2,
        last_seq=2,
    )
    (stored,) = await scene.alice.engine.store.messages.ingest([again])
    assert stored.new == []


async def refetch_with_its_neighbours(scene: Scene) -> None:
    """Delete the messages beside it from the local store, and fetch the gap."""
    page = await scene.alice.group(scene.group).get_messages(20)
    for message in page:
        if message.seq != 2:
            assert await message.delete_from_storage()
    assert (await scene.alice.group(scene.group).coverage()).intervals == ((2, 2),)
    back = await scene.alice.group(scene.group).get_messages(20)
    assert back.requests > 0
    assert [m.seq for m in back] == [m.seq for m in page]


async def refetch_after_the_coverage_was_dropped(scene: Scene) -> None:
    """Delete the coverage of this device but not its rows, so that everything is fetched again."""
    key = scene.alice.group(scene.group).key
    await scene.alice.engine.store._file.write(lambda c: timeline_state.write_coverage(c, key, Coverage()))
    assert (await scene.alice.group(scene.group).get_messages(20)).requests > 0


async def resend_by_the_sender(scene: Scene) -> None:
    """Send the message again under its msg_id, as the sender does after a lost ack."""
    mine = next(m for m in await scene.bob.group(scene.group).get_messages(20) if m.seq == 2)
    named = parse_msg_id(mine.msg_id)
    body = wire.SendGroupRequest(
        group_id=scene.group,
        random=named.random,
        client_time=named.client_time,
        source=named.source,
        msg_body=Raw(b'[{"MsgType":"TIMTextElem","MsgContent":{"Text":"listen"}}]'),
    )
    reply = await scene.bob.engine.connection.link().call(wire.SEND_GROUP, body, timeout_s=5)
    assert reply.timeline_seq == 2


async def relogin(scene: Scene) -> None:
    """Log out and in again, first with the same client and then with a new one."""
    await scene.alice.logout()
    await scene.alice.login()
    await scene.alice.close()
    scene.alice = scene.server.client("alice", data_dir=scene.folder)
    scene.thrown = EventRecorder(scene.alice)
    await scene.alice.login()


async def restart_of_the_server(scene: Scene) -> None:
    """Kill the server and start it again."""
    restored = EventRecorder(scene.alice, timim.ConnectionRestored)
    await scene.server.crash()
    await scene.server.start()
    await restored.wait_for_event(timim.ConnectionRestored)


async def another_epoch(scene: Scene) -> None:
    """Give the server another epoch, so that the device fetches all seqs again."""
    reset = EventRecorder(scene.alice, timim.HistoryReset, timim.ConnectionRestored)
    scene.server._settings["new_epoch"] = True
    await scene.server.restart()
    await reset.wait_for_event(timim.HistoryReset)
    await reset.wait_for_event(timim.ConnectionRestored)


async def the_sender_changes(scene: Scene) -> None:
    """Change the sender's profile and member card; only new messages have the new values."""
    await scene.bob.profile.set(nickname="Robert")
    await scene.bob.groups.of(scene.group).set_name_card("the new card")
    page = await scene.alice.group(scene.group).get_messages(20)
    for message in page:
        if message.seq == 3:
            await message.delete_from_storage()


async def another_devices_sync(scene: Scene) -> None:
    """Log in a second device of alice and read everything."""
    async with scene.server.client("alice") as second:
        await second.group(scene.group).get_messages(20)
        await second.group(scene.group).mark_read()


WAYS: list[Callable[[Scene], Awaitable[None]]] = [
    push_again,
    refetch_with_its_neighbours,
    refetch_after_the_coverage_was_dropped,
    resend_by_the_sender,
    relogin,
    restart_of_the_server,
    another_epoch,
    the_sender_changes,
    another_devices_sync,
]


async def stage(server: RunningServer, folder: Path, mark: str) -> Scene:
    alice = server.client("alice", data_dir=folder, reconnect_limit=0.5)
    bob = server.client("bob", reconnect_limit=0.5)
    await bob.login()
    await bob.profile.set(nickname="Bob", face_url="https://example.org/bob.png")
    await alice.login()
    group = await alice.groups.create("Meeting", name="g", members=["bob"])
    await bob.groups.of(group.id).set_name_card("the card")  # seq 1 is the tip of this change
    async with alice.group(group.id).expect(lambda m: m.text == "listen", timeout=WAIT_S) as got:
        await bob.group(group.id).send("listen")
    message = await got
    for n in range(3):
        await bob.group(group.id).send(str(n))
    await message.set_custom_int(-7)
    await message.set_custom_data(b"\x00played\xff")
    if mark == "removed":
        assert await message.remove()
    await alice.group(group.id).mark_read()
    return Scene(server, folder, alice, bob, group.id, EventRecorder(alice))


@pytest.mark.parametrize("mark", ["removed", "kept"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.requirement("F18", "F19", "F20", "F22", "F24", "F25", "F26")
async def test_every_fact_of_a_message_survives(
    server: RunningServer, tmp_path: Path, way: Callable[[Scene], Awaitable[None]], mark: str
) -> None:
    scene = await stage(server, tmp_path, mark)
    try:
        before = facts(await scene.message(), *DEVICE, *ACCOUNT, *SERVER)
        deleted = mark == "removed"
        assert before["status"] is (MessageStatus.DELETED if deleted else MessageStatus.SUCCEEDED)
        assert (before["custom_int"], before["custom_data"], before["is_read"]) == (-7, b"\x00played\xff", True)
        assert before["sender_profile"] == timim.SenderProfile("bob", "Bob", "https://example.org/bob.png")
        assert isinstance(before["sender_member"], timim.SenderMember)
        assert before["sender_member"].name_card == "the card"
        await way(scene)
        assert facts(await scene.message(), *before) == before
        held = next(m for m in await scene.alice.group(scene.group).get_local_messages(20) if m.seq == 2)
        assert facts(held, *before) == before
        shown = [m.seq async for m in scene.alice.group(scene.group).history()]
        assert (2 in shown) is not deleted  # history() hides a deleted message, and the queries return it
        assert not [m for m in scene.thrown.messages if m.seq == 2]  # the message is not delivered a second time
        async with server.client("alice") as other:  # another device has only the properties of the server and the account
            there = await scene.message(other)
            assert facts(there, *ACCOUNT, *SERVER) == {name: before[name] for name in (*ACCOUNT, *SERVER)}
            assert (there.status, there.custom_int, there.custom_data) == (MessageStatus.SUCCEEDED, 0, b"")
    finally:
        await scene.alice.close()
        await scene.bob.close()


@pytest.mark.requirement("F18")
async def test_the_played_flag_of_a_sound_survives_a_refetch_and_a_restart(server: RunningServer, tmp_path: Path) -> None:
    async with server.client("bob") as bob:
        async with server.client("alice", data_dir=tmp_path) as alice:
            async with alice.c2c("bob").expect(lambda m: True, timeout=WAIT_S) as got:
                await bob.c2c("alice").send(SoundElem(data=b"RIFF speech", duration=3))
            sound = await got
            assert sound.custom_int == 0
            await sound.set_custom_int(1)
        async with server.client("alice", data_dir=tmp_path) as alice:
            (sound,) = await alice.c2c("bob").get_messages(1)
            assert (sound.custom_int, type(sound[0])) == (1, SoundElem)


@pytest.mark.requirement("F24")
async def test_a_physical_delete_opens_a_gap_that_roaming_fills(server: RunningServer, tmp_path: Path) -> None:
    async with server.client("bob"), server.client("alice", data_dir=tmp_path) as alice:
        sent = [await alice.c2c("bob").send(str(n)) for n in range(5)]
        assert await sent[2].delete_from_storage()
        assert not await sent[2].delete_from_storage()
        assert [m.seq for m in await alice.c2c("bob").get_local_messages(10)] == [5, 4, 2, 1]
        assert (await alice.c2c("bob").coverage()).gaps == ((3, 3),)
        assert sent[2] not in alice.c2c("bob").get_cached_messages()
        watch = EventRecorder(alice)
        page = await alice.c2c("bob").get_messages(10)
        assert ([m.seq for m in page], page.requests) == ([5, 4, 3, 2, 1], 1)
        assert watch.messages == []  # a fetched message is not a new one


async def test_a_message_on_its_way_cannot_be_deleted_and_says_so(server: RunningServer, tmp_path: Path) -> None:
    async with server.client("bob"), server.client("alice", data_dir=tmp_path) as alice:
        await alice.c2c("bob").send("first")
        stall = server.faults.stall(user="alice", direction="down")
        sending = asyncio.create_task(alice.c2c("bob").send("deleted meanwhile"))
        await stall.happened()
        (left, _) = await alice.c2c("bob").get_local_messages(10)
        assert (left.text, left.status) == ("deleted meanwhile", MessageStatus.SENDING)
        for delete in (left.delete_from_storage, left.remove):
            with pytest.raises(timim.AlreadySent, match="on its way"):
                await delete()
        stall.release()
        assert await (await sending).delete_from_storage()
        await alice.c2c("bob").send("third")
        assert (await alice.c2c("bob").coverage()).gaps == ((2, 2),)
        page = await alice.c2c("bob").get_messages(10)
        assert ([m.text for m in page], page.requests) == (["third", "deleted meanwhile", "first"], 1)


@pytest.mark.parametrize("kind", ["c2c", "group"])
@pytest.mark.requirement("F31")
async def test_deleting_a_conversation_alone_or_with_its_messages(server: RunningServer, tmp_path: Path, kind: str) -> None:
    async with server.client("bob") as bob, server.client("alice", data_dir=tmp_path) as alice:
        if kind == "group":
            id = (await bob.groups.create("Public", name="g", members=["alice"])).id
            mine, his = alice.group(id), bob.group(id)
        else:
            mine, his = alice.c2c("bob"), bob.c2c("alice")
        type: ConversationType = mine.type
        watch = EventRecorder(alice)

        async def say(text: str) -> None:
            await his.send(text)
            await watch.wait_for_message(lambda m: m.text == text)

        for n in range(5):
            await say(str(n))
        assert await alice.delete_conversation(type, mine.peer)
        assert not await alice.delete_conversation(type, mine.peer)
        assert mine not in alice.conversations
        assert len(await mine.get_local_messages(20)) == 5  # the messages stay in the local store
        await alice.close()
        await alice.login()
        mine = alice.conversation(type, mine.peer)
        assert mine not in alice.conversations  # not even after a login whose reply lists the conversation
        await say("5")
        assert mine in alice.conversations  # a new message lists the conversation again, with its old history
        page = await mine.get_messages(20)
        assert ([m.text for m in page], page.requests) == (["5", "4", "3", "2", "1", "0"], 0)
        assert await alice.delete_conversation(type, mine.peer, messages=True)
        assert mine not in alice.conversations
        assert (len(await mine.get_local_messages(20)), mine.get_cached_messages(), mine.unread) == (0, [], 0)
        assert not await alice.delete_conversation(type, mine.peer, messages=True)
        heard = len(watch.messages)
        back = await mine.get_messages(20)  # the server still has the messages, so they are fetched
        assert ([m.text for m in back], back.complete) == (["5", "4", "3", "2", "1", "0"], True)
        assert back.requests > 0
        assert len(watch.messages) == heard
        assert mine not in alice.conversations  # reading does not list the conversation again
        await say("6")
        assert mine in alice.conversations


@pytest.mark.requirement("F27")
async def test_deleting_while_iterating_misses_none(server: RunningServer) -> None:
    await server.add_users(*(f"u{n}" for n in range(10)))
    async with server.client("alice") as alice:
        for n in range(10):
            await alice.c2c(f"u{n}").send("hi")
        seen = []
        for conversation in alice.conversations:
            seen.append(conversation.peer)
            await alice.delete_conversation(conversation.type, conversation.peer)
        assert seen == [f"u{n}" for n in range(9, -1, -1)]
        assert len(alice.conversations) == 0

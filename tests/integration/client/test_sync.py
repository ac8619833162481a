"""Tests of the sync at login: the conversation list, last messages and missed messages arrive once, in order, at low cost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import timim
from bench.login_cost import Counts, counting, say
from tests.support.raw_database import in_database
from timim import ConnectionRestored, Conversation, Message, MessageStatus
from timim.storage import IngestResult, LastPosition, Outgoing, Removal, UnreadCounts
from timim.testing import EventRecorder, RunningServer, running_server


@pytest.fixture
async def server() -> AsyncIterator[RunningServer]:
    async with running_server(group_messages_per_s=0) as running:
        yield running


def texts(messages: list[Message]) -> list[str]:
    return [m.text for m in messages if m.text]


async def talk(server: RunningServer, group_messages: int = 10) -> str:
    """Create messages to bob from carol, which he has read, and from dave, which he has not, and a group of alice with bob."""
    await server.add_users("bob", "carol", "dave")
    async with server.client("carol") as carol, server.client("dave") as dave, server.client("alice") as alice:
        for n in range(1, 4):
            await carol.c2c("bob").send(f"carol {n}")
        for n in range(1, 4):
            await dave.c2c("bob").send(f"dave {n}")
        group = await alice.groups.create("Public", name="g", members=["bob"])
        for n in range(1, group_messages + 1):
            await group.conversation.send(f"group {n}")
    async with server.client("bob") as bob:
        await bob.c2c("carol").mark_read()
    return group.id


@pytest.mark.requirement("F16", "F28")
async def test_a_new_device_gets_the_list_with_one_last_message_each(server: RunningServer, tmp_path: Path) -> None:
    group = await talk(server)
    bob = server.client("bob", data_dir=tmp_path)
    watch = EventRecorder(bob)
    async with bob:
        await watch.wait_for_messages(1 + 3 + 1 + 1)
        # and a notice, which has no text
        assert sorted(texts(watch.messages)) == ["carol 3", "dave 1", "dave 2", "dave 3", "group 10"]
        assert {c.peer for c in bob.conversations if c.key != bob.system().key} == {group, "dave", "carol"}
        assert {c.last_message.text for c in bob.conversations if c.last_message} >= {"carol 3", "dave 3", "group 10"}
        assert (await bob.c2c("carol").coverage()).intervals == ((3, 3),)
        assert (await bob.c2c("carol").coverage()).gaps == ((1, 2),)  # everything below the last message is a gap
        assert (await bob.group(group).coverage()).gaps == ((1, 9),)
        assert (await bob.c2c("dave").coverage()).complete
        read = {m.text: m.is_read for m in watch.messages}
        assert (read["carol 3"], read["dave 3"]) == (True, False)
        assert (bob.c2c("carol").unread, bob.c2c("dave").unread) == (0, 3)
        page = await bob.c2c("carol").get_messages(10)
        assert ([m.is_read for m in page], page.requests) == ([True, True, True], 1)
    again = server.client("bob", data_dir=tmp_path)
    silent = EventRecorder(again)
    async with again:
        await again.c2c("carol").send("end")
    assert silent.messages == []


@pytest.mark.requirement("F28", "F32")
async def test_without_recent_contacts_only_missed_c2c_messages_come(server: RunningServer, tmp_path: Path) -> None:
    group = await talk(server)
    bob = server.client("bob", data_dir=tmp_path, recent_contacts=False)
    watch = EventRecorder(bob)
    async with bob:
        await watch.wait_for_messages(3)
        assert bob.group(group).get_cached_messages() == []
        assert bob.c2c("carol").get_cached_messages() == []
        assert [c.peer for c in bob.conversations if c.key != bob.system().key] == ["dave"]
        async with server.client("alice") as alice:
            await alice.group(group).send("group 11")
        await watch.wait_for_message(lambda m: m.text == "group 11")
        assert texts(bob.group(group).get_cached_messages()) == ["group 11"]
        assert texts(watch.messages) == ["dave 1", "dave 2", "dave 3", "group 11"]
        assert (await bob.group(group).coverage()).gaps == ((1, 10),)
        page = await bob.c2c("carol").get_messages(10)
        assert len(page) == 3
    # with recent contacts again, the next login lists the other conversations
    async with server.client("bob", data_dir=tmp_path) as bob:
        assert {c.peer for c in bob.conversations} >= {group, "dave", "carol"}


@pytest.mark.requirement("F32")
async def test_last_messages_are_available_without_any_io(server: RunningServer, tmp_path: Path) -> None:
    await talk(server)
    async with server.client("bob", data_dir=tmp_path) as bob:
        await bob.c2c("dave").get_messages(10)
    bob = server.client("bob", data_dir=tmp_path)
    await bob.open()
    assert bob.c2c("dave").get_cached_messages() == []  # not logged in since the start
    async with bob:
        assert texts(bob.c2c("dave").get_cached_messages()) == ["dave 3"]  # unchanged, and still loaded
        assert texts(bob.c2c("carol").get_cached_messages()) == ["carol 3"]
        async with server.client("dave") as dave:
            arrived = bob.wait_for(lambda m: m.text == "dave 33", timeout=20)
            for n in range(4, 34):
                await dave.c2c("bob").send(f"dave {n}")
            await arrived
        kept = bob.c2c("dave").get_cached_messages()
        assert texts(kept) == [f"dave {n}" for n in range(33, 13, -1)]
        assert texts(bob.c2c("dave").get_cached_messages(3)) == ["dave 33", "dave 32", "dave 31"]
        assert texts(bob.c2c("dave").get_cached_messages(2, before=kept[1])) == ["dave 31", "dave 30"]
        with pytest.raises(timim.InvalidArgument):
            bob.c2c("dave").get_cached_messages(21)
        page = await bob.c2c("dave").get_messages(2)
        assert await page[0].remove()
        assert await page[1].delete_from_storage()
        await kept[2].set_custom_int(5)
        newest, next_one = bob.c2c("dave").get_cached_messages(2)
        # the cache contains deleted messages; history() hides them
        assert (newest.text, newest.status) == ("dave 33", MessageStatus.DELETED)
        assert (next_one.text, next_one.custom_int) == ("dave 31", 5)
    assert len(bob.c2c("dave").get_cached_messages()) == 19  # the store is closed, so no more can be read


@pytest.mark.requirement("F16")
async def test_messages_sent_during_the_sync_come_once_and_in_order(server: RunningServer, tmp_path: Path) -> None:
    await server.add_users("alice", "bob")
    async with server.client("bob", data_dir=tmp_path):
        pass
    async with server.client("alice") as alice:
        await alice.c2c("bob").send("missed")
        for frames in range(4):  # the two replies of the login, and the frames after them
            bob = server.client("bob", data_dir=tmp_path)
            watch = EventRecorder(bob)
            stall = server.faults.stall(after_frames=frames, user="bob", direction="down")
            entering = asyncio.create_task(bob.login())
            if frames < 2:
                await stall.happened()
            await alice.c2c("bob").send(f"{frames} a")
            await alice.c2c("bob").send(f"{frames} b")
            stall.release()
            server.faults.clear()
            await entering
            await watch.wait_for_message(lambda m, f=frames: m.text == f"{f} b")  # type: ignore[misc]
            assert texts(watch.messages)[-2:] == [f"{frames} a", f"{frames} b"]
            assert len(watch.messages) == 2 + (frames == 0)
            assert (await bob.c2c("alice").coverage()).intervals == ((1, 1 + 2 * (frames + 1)),)
            await bob.close()


async def quiet_group(server: RunningServer, folder: Path) -> str:
    """Create a group whose history bob's device has stored, and set its last change to long ago."""
    group = await talk(server)
    async with server.client("bob", data_dir=folder) as bob:
        await bob.group(group).get_messages(100)
    long_ago = "UPDATE timelines SET last_time=1000", "UPDATE contacts SET read_time=1000"
    await in_database(server.folder, *long_ago)
    return group


async def test_after_a_cut_a_group_that_the_login_did_not_name_is_synced_too(server: RunningServer, tmp_path: Path) -> None:
    group = await quiet_group(server, tmp_path)
    bob = server.client("bob", data_dir=tmp_path, reconnect_limit=0.5)
    watch = EventRecorder(bob, ConnectionRestored)
    async with bob, server.client("alice", reconnect_limit=0.5) as alice:
        assert watch.messages == []
        stall = server.faults.stall(user="bob", direction="down")
        for n in range(30):
            await alice.group(group).send(f"said {n}")
        await stall.happened()
        server.faults.cut_all()
        await watch.wait_for_event(ConnectionRestored)
        assert texts(await watch.wait_for_messages(30)) == [f"said {n}" for n in range(30)]
        assert (await bob.group(group).coverage()).complete


async def test_after_a_cut_a_group_joined_meanwhile_is_synced_from_the_join(server: RunningServer) -> None:
    await server.add_users("bob")
    bob = server.client("bob", reconnect_limit=0.5)
    watch = EventRecorder(bob, ConnectionRestored)
    async with bob, server.client("alice") as alice:
        group = await alice.groups.create("Public", name="g")
        for n in range(5):
            await group.conversation.send(f"before {n}")
        cut = server.faults.cut(user="bob", times=1_000_000)
        await alice.c2c("bob").send("cuts him off")
        await cut.happened()
        await group.invite("bob")
        for n in range(5):
            await group.conversation.send(f"after {n}")
        server.faults.clear()
        await watch.wait_for_event(ConnectionRestored)
        await watch.wait_for_message(lambda m: m.text == "after 4")
        assert [text for text in texts(watch.messages) if text != "cuts him off"] == [f"after {n}" for n in range(5)]


async def test_a_lost_push_of_a_group_that_the_login_did_not_name_is_repaired(server: RunningServer, tmp_path: Path) -> None:
    group = await quiet_group(server, tmp_path)
    bob = server.client("bob", data_dir=tmp_path)
    watch = EventRecorder(bob)
    async with bob, server.client("alice") as alice:
        lost = server.faults.drop(user="bob", direction="down")
        await alice.group(group).send("lost on the way")
        await lost.happened()
        await alice.group(group).send("arrives")
        assert texts(await watch.wait_for_messages(2)) == ["lost on the way", "arrives"]


async def test_an_inaccessible_group_holds_back_no_other_conversation(server: RunningServer, tmp_path: Path) -> None:
    group = await quiet_group(server, tmp_path)
    bob = server.client("bob", data_dir=tmp_path)
    watch = EventRecorder(bob)
    async with bob, server.client("alice") as alice, server.client("dave") as dave:
        lost = server.faults.drop(user="bob", direction="down")
        await alice.group(group).send("lost on the way")
        await lost.happened()
        stall = server.faults.stall(user="bob", direction="down")
        await alice.group(group).send("pushed")
        await stall.happened()
        await dave.c2c("bob").send("meanwhile")
        await alice.groups.of(group).kick("bob")
        stall.release()
        await watch.wait_for_message(lambda m: m.text == "meanwhile")
        await watch.wait_for_message(lambda m: m.text == "pushed")
        known = await bob.group(group).coverage()
        assert (11, 11) in known.gaps  # the message that bob may no longer read is a gap


async def passed(server: RunningServer, folder: Path, peers: int, changed: int) -> Counts:
    """Return the traffic of a login by a device that knows `peers` conversations, of which some changed."""
    now = int(time.time())
    async with server.client("alice", data_dir=folder):
        pass
    await server.stop()
    await say(server.folder, range(changed), 1, now)
    await server.start()
    await server.add_users("warm")
    alice = server.client("alice", data_dir=folder)
    watch = EventRecorder(alice)
    with counting() as counts:
        async with alice:
            requests, down = counts.requests, counts.bytes_down
            await watch.wait_for_messages(changed)
            assert len(alice.conversations) == peers
    counts.requests, counts.bytes_down = requests, down
    return counts


@pytest.mark.requirement("F28")
async def test_the_cost_of_a_login_depends_on_changes_not_on_conversations(tmp_path: Path) -> None:
    costs = []
    for peers in (20, 400):
        async with running_server() as server:
            await server.stop()
            await say(server.folder, range(peers), 2, int(time.time()) - 86_400)
            await server.start()
            costs.append(await passed(server, tmp_path / str(peers), peers, changed=5))
    few, many = costs
    assert many.requests <= few.requests <= 3
    assert many.bytes_down < few.bytes_down * 1.1


@pytest.mark.requirement("F27")
async def test_thousands_of_conversations_stay_in_their_order(server: RunningServer) -> None:
    alice = server.client("alice")
    await alice.open()
    listed, index = alice.conversations, alice.engine.conversations
    begun = time.process_time()
    for n in range(10_000):
        last = LastPosition(n // 3, n)
        index.apply(IngestResult(alice.c2c(f"u{n}").key, [], listed=True, last=last, unread=None, added=UnreadCounts(0, 0)))
    for n in range(10_000):
        assert alice.c2c(f"u{n}") in listed
    assert time.process_time() - begun < 5  # a scan of the list for each lookup would take minutes
    times = [state.active_at for state in index.listed]
    assert times == sorted(times, reverse=True)
    index.on_conversation_deleted(alice.c2c("u5000").key, Removal(done=True), messages=False)
    first = Message("hello")
    first._key = alice.c2c("u0").key
    first._local_id = 10_000
    index.on_outgoing_stored([Outgoing(first, b"[]", noted=False, listed_at=index.newest_time)])
    assert (len(listed), listed[0].peer, listed[1].peer) == (9_999, "u0", "u9999")
    assert isinstance(listed[5000], Conversation)
    await alice.close()

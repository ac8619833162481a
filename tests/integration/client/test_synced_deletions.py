"""Deletions on all devices of an account: online, offline and new devices converge, and other users keep everything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.waiting import eventually
from timim import (
    Client,
    ConversationDeleted,
    ConversationType,
    HistoryCleared,
    InvalidArgument,
    JoinOption,
    MessagesDeleted,
    MessageStatus,
    NotAMember,
    NotLoggedIn,
    UnknownGroup,
)
from timim.protocol.deletions import DeletionItem
from timim.testing import EventRecorder, RunningServer, running_server


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RunningServer]:
    async with running_server(data_dir=tmp_path / "server") as running:
        await running.add_users("ann", "bob")
        yield running


async def texts(client: Client, peer: str = "bob") -> list[str]:
    """Return the history of a conversation, and check that the device has a proof of it."""
    conversation = client.c2c(peer)
    found = [message.text async for message in conversation.history(oldest_first=True)]
    assert (await conversation.get_messages(20)).complete
    return found


def is_listed(client: Client) -> bool:
    return client.c2c("bob") in client.conversations


def has_unread(client: Client, count: int) -> bool:
    return client.c2c("bob").unread == count


async def say(server: RunningServer, *words: str) -> None:
    async with server.client("bob") as bob:
        for word in words:
            await bob.c2c("ann").send(word)


async def test_a_history_is_cleared_on_all_devices_of_one_account(server: RunningServer, tmp_path: Path) -> None:
    async with server.client("ann", data_dir=tmp_path / "late") as late:
        await say(server, "one", "two")
        await eventually(lambda: late.c2c("bob").unread == 2)
    async with server.client("ann") as phone, server.client("ann") as desk:
        heard, own = EventRecorder(desk, HistoryCleared), EventRecorder(phone, HistoryCleared)
        held = (await desk.c2c("bob").get_messages(1))[0]
        await phone.conversations.clear_history(phone.c2c("bob"))
        assert await heard.wait_for_event(HistoryCleared) == HistoryCleared(desk.c2c("bob").key, 2)
        assert held.status is MessageStatus.DELETED
        for client in (phone, desk):
            conversation = client.c2c("bob")
            assert (await texts(client), conversation.unread, conversation.last_message) == ([], 0, None)
            assert conversation in client.conversations
            assert list(await client.search("one")) == []
        assert own.events == []
        async with server.client("bob") as bob:
            await bob.c2c("ann").send("three")
            assert await texts(bob, "ann") == ["one", "two", "three"]
        await eventually(lambda: desk.c2c("bob").unread == 1)
        assert await texts(desk) == ["three"]
    late = server.client("ann", data_dir=tmp_path / "late")
    missed = EventRecorder(late, HistoryCleared)
    async with late, server.client("ann") as new:
        assert await missed.wait_for_event(HistoryCleared) == HistoryCleared(late.c2c("bob").key, 2)
        assert [m.text for m in await late.c2c("bob").get_local_messages(20)] == ["three"]
        for client in (late, new):
            assert (await texts(client), client.c2c("bob").unread) == (["three"], 1)


async def test_a_group_is_cleared_for_one_member_who_leaves_and_joins_again(server: RunningServer) -> None:
    async with server.client("bob") as bob, server.client("ann") as ann:
        group = await bob.groups.create("Public", name="team", members=["ann"], join_option=JoinOption.FREE)
        await group.conversation.send("one")
        await eventually(lambda: ann.group(group.id).last_message is not None)
        await ann.conversations.clear_history(ann.group(group.id))
        assert [m.text async for m in ann.group(group.id).history()] == []
        assert "one" in [m.text async for m in bob.group(group.id).history()]
        await ann.groups.of(group.id).quit()
        with pytest.raises(NotAMember):
            await ann.conversations.clear_history(ann.group(group.id))
        await ann.groups.join(group.id)
        await group.conversation.send("two")
        async with server.client("ann") as new:
            assert "one" not in [m.text async for m in new.group(group.id).history()]


async def test_a_conversation_leaves_the_list_of_all_devices_until_its_next_message(
    server: RunningServer, tmp_path: Path
) -> None:
    await say(server, "one", "two")
    async with server.client("ann", data_dir=tmp_path / "late") as late:
        assert late.c2c("bob") in late.conversations
    async with server.client("ann") as phone, server.client("ann") as desk:
        heard = EventRecorder(desk, ConversationDeleted, HistoryCleared)
        key = desk.c2c("bob").key
        assert await phone.delete_conversation(ConversationType.C2C, "bob", everywhere=True)
        assert not await phone.delete_conversation(ConversationType.C2C, "bob", everywhere=True)
        await heard.wait_for_event(ConversationDeleted)
        for client in (phone, desk):
            assert list(client.conversations) == []
            assert await texts(client) == ["one", "two"]
        async with server.client("ann", data_dir=tmp_path / "late") as late, server.client("ann") as new:
            assert (list(late.conversations), list(new.conversations)) == ([], [])
            assert await texts(new) == ["one", "two"]
            await say(server, "three")
            for client in (phone, desk, late, new):
                await eventually(partial(is_listed, client))
        assert [event for event in heard.events if isinstance(event, HistoryCleared)] == []
        assert await phone.delete_conversation(ConversationType.C2C, "bob", messages=True, everywhere=True)
        assert await heard.wait_for_event(HistoryCleared) == HistoryCleared(key, 3)
        await eventually(lambda: not desk.conversations)
        assert (await texts(phone), await texts(desk)) == ([], [])
    async with server.client("ann", data_dir=tmp_path / "late") as late:
        assert (list(late.conversations), await texts(late)) == ([], [])


async def test_deleted_messages_are_gone_on_all_devices_of_one_account(server: RunningServer, tmp_path: Path) -> None:
    async with server.client("bob") as bob:
        sent = [await bob.c2c("ann").send(text) for text in ("one", "two", "three")]
        async with server.client("ann", data_dir=tmp_path / "late") as late:
            assert await texts(late) == ["one", "two", "three"]
        async with server.client("ann") as phone, server.client("ann") as desk:
            heard = EventRecorder(desk, MessagesDeleted)
            page = await phone.c2c("bob").get_messages(20)
            held = (await desk.c2c("bob").get_messages(20))[1]
            assert await page[1].remove(everywhere=True)
            assert not await page[1].remove(everywhere=True)
            assert await heard.wait_for_event(MessagesDeleted) == MessagesDeleted(desk.c2c("bob").key, (2,))
            assert (page[1].status, held.status) == (MessageStatus.DELETED, MessageStatus.DELETED)
            assert await page[0].remove(everywhere=True)  # the last one, which is unread
            await eventually(lambda: (last := desk.c2c("bob").last_message) is not None and last.text == "one")
            for client in (phone, desk):
                conversation = client.c2c("bob")
                assert (await texts(client), conversation.unread) == (["one"], 1)
                assert conversation.last_message is not None
                assert conversation.last_message.text == "one"
                assert (await client.cloud_search.messages("two")).items == ()
            await sent[1].edit("two again")
            await sent[2].recall()
            assert await texts(bob, "ann") == ["one", "two again", ""]
            await bob.c2c("ann").send("four")
            for client in (phone, desk):
                await eventually(partial(has_unread, client, 2))
        missed = EventRecorder(late := server.client("ann", data_dir=tmp_path / "late"), MessagesDeleted)
        async with late, server.client("ann") as new:
            assert missed.events == [MessagesDeleted(late.c2c("bob").key, (2, 3))]
            assert [m.text for m in reversed(await late.c2c("bob").get_local_messages(20))] == ["one", "four"]
            for client in (late, new):
                assert (await texts(client), client.c2c("bob").unread) == (["one", "four"], 2)


async def test_a_message_of_a_group_is_deleted_for_one_member(server: RunningServer) -> None:
    async with server.client("bob") as bob, server.client("ann") as ann:
        group = await bob.groups.create("Public", name="team", members=["ann"])
        await group.conversation.send("one")
        await eventually(lambda: (last := ann.group(group.id).last_message) is not None and last.text == "one")
        last = ann.group(group.id).last_message
        assert last is not None
        assert await last.remove(everywhere=True)
        async with server.client("ann") as new:
            assert "one" not in [m.text async for m in new.group(group.id).history()]
            assert (await new.group(group.id).get_messages(20)).complete
        assert "one" in [m.text async for m in bob.group(group.id).history()]


async def test_a_device_without_the_rows_learns_the_unread_count_from_the_server(server: RunningServer) -> None:
    async with server.client("bob") as bob, server.client("ann") as phone:
        group = await bob.groups.create("Public", name="team", members=["ann"])
        for text in ("one", "two", "three"):
            await group.conversation.send(text)
        await eventually(lambda: phone.group(group.id).unread == 3)
        async with server.client("ann") as desk:
            assert desk.group(group.id).unread == 3
            assert not (await desk.group(group.id).coverage()).complete
            page = await phone.group(group.id).get_messages(3)
            assert page[1].text == "two"
            await page[1].remove(everywhere=True)
            await eventually(lambda: desk.group(group.id).unread == 2)
            assert not (await desk.group(group.id).coverage()).complete


async def test_a_lost_notice_is_made_up_for_by_the_next_one(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    await say(server, "one", "two", "three")
    async with server.client("ann") as phone, server.client("ann") as desk:
        page, deletions = await phone.c2c("bob").get_messages(20), desk.engine.settings.deletions
        assert await texts(desk) == ["one", "two", "three"]

        async def lose(item: DeletionItem, *, own: bool = False) -> None:
            monkeypatch.undo()

        monkeypatch.setattr(deletions, "apply", lose)
        await page[0].remove(everywhere=True)
        await eventually(lambda: deletions.apply is not lose)
        await page[2].remove(everywhere=True)
        await eventually(lambda: len(desk.c2c("bob").get_cached_messages(20)) == 1)
        assert await texts(desk) == ["two"]


async def test_deletions_survive_a_kill_of_the_server(server: RunningServer, tmp_path: Path) -> None:
    await say(server, "one")
    async with server.client("ann", data_dir=tmp_path / "late") as late:
        assert await texts(late) == ["one"]
    async with server.client("ann") as ann:
        await ann.conversations.clear_history(ann.c2c("bob"))
        async with server.client("bob") as bob:
            await bob.c2c("ann").send("two")
            await bob.c2c("ann").send("three")
        await eventually(lambda: ann.c2c("bob").unread == 2)
        await (await ann.c2c("bob").get_messages(1))[0].remove(everywhere=True)
        await server.crash()
    await server.start()
    for folder in (tmp_path / "late", tmp_path / "late", None):
        async with server.client("ann", data_dir=folder or ":memory:") as again:
            assert await texts(again) == ["two"]


async def test_what_cannot_be_cleared_is_refused(server: RunningServer) -> None:
    async with server.client("ann") as ann:
        with pytest.raises(InvalidArgument):
            await ann.conversations.clear_history(ann.system())
        with pytest.raises(UnknownGroup):
            await ann.conversations.clear_history(ann.group("TGIDnone"))
    with pytest.raises(NotLoggedIn):
        await ann.conversations.clear_history(ann.c2c("bob"))

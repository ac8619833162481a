"""Deleting on one device: what waits to be sent is not sent, and whoever deletes too late is told so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import timim
from timim import Client, FileElem, Message, MessageStatus
from timim.engine.send_queue import ConversationQueue
from timim.testing import RunningServer, running_server

WAIT_S = 20
WAYS = ("remove", "delete_from_storage", "delete_conversation")


@pytest.fixture
async def server() -> AsyncIterator[RunningServer]:
    async with running_server() as running:
        await running.add_users("ann", "bob")
        yield running


async def waiting(client: Client, text: str, *parts: FileElem) -> tuple[Message, asyncio.Task[Message]]:
    """Start the sending of a message that has to wait; return it when it is on disk."""
    message = Message(text, *parts)
    sending = asyncio.create_task(client.c2c("bob").send(message))
    async with asyncio.timeout(WAIT_S):
        while not message.local_id:  # noqa: ASYNC110
            await asyncio.sleep(0)
    return message, sending


async def delete(client: Client, message: Message, way: str) -> bool:
    if way == "delete_conversation":
        return await client.delete_conversation(timim.ConversationType.C2C, "bob", messages=True)
    deleted: bool = await getattr(message, way)()
    return deleted


async def arrived(server: RunningServer, client: Client) -> list[str]:
    """Return what bob can read after everything of this client's outbox was sent."""
    await client.c2c("bob").send("end")
    async with server.client("bob") as bob:
        return [m.text async for m in bob.c2c("ann").history(oldest_first=True)]


async def is_sent_all_the_same(server: RunningServer, folder: Path, way: str) -> bool:
    """Delete a message that waits for the network, log in, and return whether it went out."""
    async with server.client("ann", data_dir=folder) as ann:
        await ann.logout()
        message, sending = await waiting(ann, "in anger")
        assert await delete(ann, message, way)
        if sending.done():
            with pytest.raises(timim.MessageWithdrawn):
                await sending
        await ann.login()
        texts = await arrived(server, ann)
        sending.cancel()
        assert texts[-1] == "end"
        return "in anger" in texts


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.requirement("F24", "P14")
async def test_a_message_deleted_before_it_is_sent_never_goes_out(server: RunningServer, tmp_path: Path, way: str) -> None:
    assert not await is_sent_all_the_same(server, tmp_path, way)


@pytest.mark.requirement("P14")
async def test_an_outbox_that_sends_what_was_deleted_is_detected(
    server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ConversationQueue, "withdraw", lambda *_: [])
    monkeypatch.setattr(ConversationQueue, "hold", lambda *_: [])
    assert await is_sent_all_the_same(server, tmp_path, "remove")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("how", ["logged out", "restarted"])
@pytest.mark.requirement("P14")
async def test_a_message_that_never_left_can_be_deleted_by_a_later_run(
    server: RunningServer, tmp_path: Path, way: str, how: str
) -> None:
    ann = server.client("ann", data_dir=tmp_path)
    await ann.open()
    _, sending = await waiting(ann, "in anger")
    await (ann.logout() if how == "logged out" else ann.close())
    with pytest.raises(timim.NotLoggedIn):
        await sending
    await ann.open()
    (left,) = await ann.c2c("bob").get_local_messages()
    assert await delete(ann, left, way)
    if way == "remove":
        (shown,) = await ann.c2c("bob").get_local_messages()
        assert shown.status is MessageStatus.DELETED
        assert not await shown.remove()
    await ann.login()
    assert await arrived(server, ann) == ["end"]
    await ann.close()


@pytest.mark.requirement("P14")
async def test_a_message_that_an_earlier_run_may_have_sent_is_not_said_to_be_withdrawn(
    server: RunningServer, tmp_path: Path
) -> None:
    async with server.client("ann", data_dir=tmp_path) as ann:
        stall = server.faults.stall(user="ann", direction="down")
        message, sending = await waiting(ann, "stored, and never acked")
        await stall.happened()
        with pytest.raises(timim.AlreadySent, match="on its way"):
            await message.delete_from_storage()
        assert await delete(ann, message, "delete_conversation")  # which leaves it
        assert message.status is MessageStatus.SENDING
    await asyncio.gather(sending, return_exceptions=True)
    server.faults.clear()
    ann = server.client("ann", data_dir=tmp_path)
    await ann.open()
    (left,) = await ann.c2c("bob").get_local_messages()
    with pytest.raises(timim.AlreadySent, match="on its way"):
        await left.remove()
    await ann.login()
    assert await arrived(server, ann) == ["stored, and never acked", "end"]
    await ann.close()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.requirement("P14")
async def test_an_upload_ends_when_its_message_is_deleted_and_the_next_message_goes(
    server: RunningServer, tmp_path: Path, way: str
) -> None:
    async with server.client("ann", data_dir=tmp_path) as ann:
        begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        message = Message(FileElem(data=b"x" * 20_000_000, filename="big"))

        def progress(done: int, total: int) -> None:
            if not begun.done():
                begun.set_result(None)

        sending = asyncio.create_task(ann.c2c("bob").send(message, progress=progress))
        await begun
        assert await delete(ann, message, way)
        with pytest.raises(timim.MessageWithdrawn):
            await sending
        assert message.status is MessageStatus.DELETED
        assert await arrived(server, ann) == ["end"]
    assert not await asyncio.to_thread(lambda: list(tmp_path.glob("*/*/outgoing/*")))


@pytest.mark.requirement("P14")
async def test_the_others_keep_their_order_when_one_in_the_middle_is_deleted(server: RunningServer, tmp_path: Path) -> None:
    async with server.client("ann", data_dir=tmp_path) as ann:
        await ann.logout()
        kept = [await waiting(ann, str(n)) for n in range(5)]
        assert await kept[2][0].remove()
        assert await kept[4][0].delete_from_storage()
        await ann.login()
        assert await arrived(server, ann) == ["0", "1", "3", "end"]
        results = await asyncio.gather(*(task for _, task in kept), return_exceptions=True)
        assert [isinstance(result, timim.MessageWithdrawn) for result in results] == [False, False, True, False, True]


@pytest.mark.requirement("P14")
async def test_a_deletion_that_the_disk_refuses_leaves_the_message_to_be_sent(
    server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with server.client("ann", data_dir=tmp_path) as ann:
        await ann.logout()
        message, sending = await waiting(ann, "stays")

        async def refused(*_: object, **__: object) -> None:
            raise timim.StorageError("the disk is full")

        with monkeypatch.context() as broken:
            broken.setattr(ann.engine.store.messages, "delete", refused)
            with pytest.raises(timim.StorageError):
                await message.remove()
        await ann.login()
        assert (await sending).text == "stays"
        assert await arrived(server, ann) == ["stays", "end"]

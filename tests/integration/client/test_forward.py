"""`message.forward(conversation)`: a copy of the elems for others, without another upload of their content."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import timim
from tests.support.paths import MEDIA
from timim import FileElem, ImageElem, InvalidArgument, InvalidElem, MergerElem, Message, UnknownElem
from timim.testing import EventRecorder, OfflineUser, RunningServer, running_server


@pytest.fixture
async def server() -> AsyncIterator[RunningServer]:
    async with running_server() as running:
        await running.add_users("bob", "carol")
        yield running


async def test_the_receiver_of_the_copy_reads_content_that_was_uploaded_once(server: RunningServer, tmp_path: Path) -> None:
    picture = tmp_path / "rocket.jpg"
    picture.write_bytes((MEDIA / "rocket.jpg").read_bytes())
    async with server.client("alice") as alice, server.client("bob") as bob, server.client("carol") as carol:
        at_bob, at_carol = EventRecorder(bob), EventRecorder(carol)
        unknown = UnknownElem(MsgType="TIMNewElem", content=b'{"x": 1}')
        files = (ImageElem(path=picture), FileElem(data=b"report", filename="report.txt"))
        sent = await alice.c2c("bob").send("look", *files, unknown)
        picture.unlink()  # an upload would need it
        got = await at_bob.wait_for_message()
        group = await bob.groups.create("Public", name="team", members=["carol"])
        in_group = await got.forward(group.conversation)
        own = await sent.forward(alice.c2c("carol"))
        for copy, original in ((in_group, got), (own, sent)):
            assert copy.msg_id != original.msg_id
            read = await at_carol.wait_for_message(lambda m, copy=copy: m.msg_id == copy.msg_id)  # type: ignore[misc]
            assert read.sender == copy.sender
            _text, image, file, new = read.elems
            assert (read.text, new) == ("look", unknown)
            assert isinstance(image, ImageElem)
            assert isinstance(file, FileElem)
            assert (image.uuid, file.uuid) == tuple(getattr(elem, "uuid", "") for elem in original.elems[1:3])
            assert await image.read() == (MEDIA / "rocket.jpg").read_bytes()
            assert (await file.read(), file.filename) == (b"report", "report.txt")


async def test_the_copy_has_neither_the_quote_nor_the_mentions_of_the_original(server: RunningServer) -> None:
    async with server.client("alice") as alice, server.client("bob") as bob:
        at_bob = EventRecorder(bob)
        group = await alice.groups.create("Public", name="team", members=["bob"])
        first = await group.conversation.send("one")
        answer = await group.conversation.send("two", mention=["bob"], reply_to=first)
        copy = await answer.forward(alice.c2c("bob"))
        got = await at_bob.wait_for_message(lambda m: m.msg_id == copy.msg_id)
        assert (got.text, got.reply_to, got.mentions, got.cloud_custom_data) == ("two", None, (), "")


async def test_a_message_inside_a_merger_can_be_forwarded(server: RunningServer) -> None:
    async with server.client("alice") as alice, server.client("bob") as bob:
        at_bob = EventRecorder(bob)
        sent = await alice.c2c("bob").send(FileElem(data=b"report", filename="report.txt"))
        await alice.c2c("bob").forward([sent], title="one message")
        (merger,) = (await at_bob.wait_for_messages(2))[1].elems
        assert isinstance(merger, MergerElem)
        (inside,) = await merger.messages()
        assert isinstance(inside, Message)
        copy = await inside.forward(bob.c2c("carol"))
        (file,) = copy.elems
        assert isinstance(file, FileElem)
        assert await file.read() == b"report"


async def test_a_message_without_content_for_others_is_refused(server: RunningServer) -> None:
    async with server.client("alice") as alice:
        bob = alice.c2c("bob")
        with pytest.raises(InvalidArgument, match="cannot be forwarded before it was sent"):
            await Message("new").forward(bob)
        sent = await bob.send("hello")
        await sent.recall()
        with pytest.raises(InvalidArgument, match="a recalled message has no content"):
            await sent.forward(bob)
        group = await alice.groups.create("Public", name="team")
        await group.invite("carol")
        (tip,) = await group.conversation.get_messages(1)
        with pytest.raises(InvalidElem, match="only the server sends GroupTipElem"):
            await tip.forward(bob)
        with pytest.raises(timim.InvalidConversation):
            await (await bob.send("hello")).forward(alice.system())
        assert [m.text for m in await bob.get_messages(5) if m.text] == ["hello"]


async def test_a_handler_that_forwards_runs_without_a_server() -> None:
    alice = OfflineUser("alice")
    message = alice.message("hello")
    await message.forward(message.conversation)
    assert alice.texts == ["hello"]

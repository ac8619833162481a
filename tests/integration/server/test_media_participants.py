"""Tests of R13: sending content makes the receivers participants, and naming the content of others does not."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import msgspec
import pytest

import timim
from tests.support.paths import MEDIA
from timim import FileElem, ImageElem, Message, UnknownElem
from timim.protocol import messages as wire
from timim.protocol.elems import encode_elem
from timim.testing import EventRecorder, RunningServer, running_server

SECRET = b"what only participants may read"


@pytest.fixture
async def server() -> AsyncIterator[RunningServer]:
    async with running_server() as running:
        yield running


@pytest.mark.requirement("R13", "H13")
async def test_a_guessed_uuid_is_refused(server: RunningServer) -> None:
    async with server.client("alice") as alice, server.client("bob"), server.client("eve") as eve:
        sent = await alice.c2c("bob").send(FileElem(data=SECRET, filename="f"))
        mine = sent[0]
        assert isinstance(mine, FileElem)
        for url in (mine.url, "", "https://elsewhere.example/x"):
            theirs = FileElem(uuid=mine.uuid, url=url, size=mine.size, filename="stolen")
            message = Message(theirs) if url else Message(_raw(theirs))
            with pytest.raises(timim.InvalidElem) as refused:
                await eve.c2c("eve").send(message)
            assert refused.value.code == 90010
            with pytest.raises(timim.InvalidElem):
                await eve.c2c("bob").send_online(_raw(theirs))
        thief = FileElem(uuid=mine.uuid, url=mine.url, size=mine.size)
        thief.bind(eve.engine.media)
        with pytest.raises(timim.MediaGone):
            await thief.read()


def _raw(elem: FileElem) -> UnknownElem:
    raw = json.loads(encode_elem(elem))
    return UnknownElem(MsgType=raw["MsgType"], content=json.dumps(raw["MsgContent"]).encode())


@pytest.mark.requirement("R13")
async def test_a_later_member_reads_only_from_then_on_and_a_former_one_nothing(server: RunningServer) -> None:
    async with server.client("alice") as alice, server.client("bob") as bob:
        group = await alice.groups.create("Public", name="team")
        first = (await group.conversation.send(FileElem(data=b"before", filename="f")))[0]
        await group.invite("bob")
        second = (await group.conversation.send(FileElem(data=b"after", filename="f")))[0]
        assert isinstance(first, FileElem)
        assert isinstance(second, FileElem)
        for elem, readable in ((first, False), (second, True)):
            copy = elem.model_copy()
            copy.bind(bob.engine.media)
            if readable:
                assert await copy.read() == b"after"
            else:
                with pytest.raises(timim.MediaGone):
                    await copy.read()
        await group.kick("bob")
        copy = second.model_copy()
        copy.bind(bob.engine.media)
        with pytest.raises(timim.MediaGone):
            await copy.read()


@pytest.mark.requirement("R13")
async def test_a_forwarded_message_makes_its_receivers_participants(server: RunningServer) -> None:
    async with server.client("alice") as alice, server.client("bob") as bob, server.client("carol") as carol:
        watch, heard = EventRecorder(bob), EventRecorder(carol)
        picture = MEDIA / "rocket.jpg"
        await alice.c2c("bob").send(ImageElem(path=picture))
        got = (await watch.wait_for_message())[0]
        assert isinstance(got, ImageElem)
        await bob.c2c("carol").send(got)
        again = (await heard.wait_for_message())[0]
        assert isinstance(again, ImageElem)
        assert again.uuid == got.uuid
        for variant in again.images.values():
            assert len(await variant.read()) == variant.size


@pytest.mark.requirement("R13")
async def test_a_merged_message_references_the_content_inside_it(server: RunningServer) -> None:
    async with server.client("alice") as alice, server.client("bob") as bob, server.client("carol") as carol:
        watch, heard = EventRecorder(bob), EventRecorder(carol)
        await alice.c2c("bob").send(FileElem(data=SECRET, filename="f"))
        got = (await watch.wait_for_message())[0]
        assert isinstance(got, FileElem)
        inner = json.loads(encode_elem(got))
        content = {"Title": "t", "MsgList": [{"From_Account": "alice", "MsgBody": [inner]}]}
        merged = UnknownElem(MsgType="TIMRelayElem", content=json.dumps(content).encode())
        await bob.c2c("carol").send(merged)
        await heard.wait_for_message()
        copy = got.model_copy()
        copy.bind(carol.engine.media)
        assert await copy.read() == SECRET


@pytest.mark.requirement("F15")
async def test_the_receiver_of_an_online_message_may_fetch_its_content(server: RunningServer) -> None:
    async with server.client("alice") as alice, server.client("bob") as bob, server.client("eve") as eve:
        watch = EventRecorder(bob)
        await alice.c2c("bob").send_online(FileElem(data=SECRET, filename="f"))
        got = (await watch.wait_for_message())[0]
        assert isinstance(got, FileElem)
        assert await got.read() == SECRET
        thief = got.model_copy()
        thief.bind(eve.engine.media)
        with pytest.raises(timim.MediaGone):
            await thief.read()


@pytest.mark.requirement("R13")
async def test_content_of_a_message_to_some_members_is_for_them_alone(server: RunningServer) -> None:
    async with server.client("alice") as alice, server.client("bob") as bob, server.client("carol") as carol:
        group = await alice.groups.create("Public", name="team", members=["bob", "carol"])
        uploaded = (await alice.c2c("alice").send(FileElem(data=SECRET, filename="f")))[0]
        assert isinstance(uploaded, FileElem)
        body = msgspec.Raw(b"[%b]" % encode_elem(uploaded))
        request = wire.SendGroupRequest(group_id=group.id, random=7, client_time=9, msg_body=body, receivers=["bob"])
        await alice.engine.connection.link().call(wire.SEND_GROUP, request, timeout_s=5)
        for client, readable in ((bob, True), (carol, False), (alice, True)):
            copy = uploaded.model_copy()
            copy.bind(client.engine.media)
            if readable:
                assert await copy.read() == SECRET
            else:
                with pytest.raises(timim.MediaGone):
                    await copy.read()

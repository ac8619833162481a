"""Tests of mergers: forwarded as one message, nested, inline and as content, with pictures; and limits of a merger (P06)."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

import timim
from tests.support.paths import MEDIA
from tests.support.raw_session import raw_session
from tests.support.rest import RestClient
from timim import CustomElem, ImageElem, ImageType, MergerElem, Message, TimimError, UnknownElem, merge_messages
from timim.protocol import long_mergers as stored
from timim.protocol import message_actions as edits
from timim.protocol import messages as wire
from timim.protocol.elems import decode_body, encode_body
from timim.testing import EventRecorder, RunningServer, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")
PICTURE = MEDIA / "rocket.jpg"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[RunningServer]:
    async with running_server(group_messages_per_s=0) as running:
        yield running


def merger_of(message: Message) -> MergerElem:
    (elem,) = message.elems
    assert isinstance(elem, MergerElem)
    return elem


@pytest.mark.requirement("P06")
async def test_merged_messages_are_one_message_that_opens(server: RunningServer) -> None:
    await server.add_users("b1", "c1")
    async with server.client("a1") as alice, server.client("b1") as bob, server.client("c1") as carol:
        await alice.profile.set(nickname="Alice")
        at_bob, at_carol = EventRecorder(bob), EventRecorder(carol)
        await alice.c2c("b1").send("one")
        await alice.c2c("b1").send("two", CustomElem(data=b"\xff\x00", desc="bytes"))
        await alice.c2c("b1").send(ImageElem(path=PICTURE))
        said = await at_bob.wait_for_messages(3)
        sent = await bob.c2c("a1").forward(said, title="what alice said", to=bob.c2c("c1"))
        assert merger_of(sent).abstracts == ("Alice: one", "Alice: twobytes", "Alice: [图片]")
        got = await at_carol.wait_for_message()
        merger = merger_of(got)
        assert (merger.title, merger.count, merger.layers, got.push_text) == ("what alice said", 3, 1, "[聊天记录]")
        inside = await merger.messages()
        assert [m.text for m in inside] == ["one", "two", ""]
        assert [m.sender for m in inside] == ["a1"] * 3
        assert [m.timestamp for m in inside] == [m.timestamp for m in said]
        assert inside[1].elems[1] == CustomElem(data=b"\xff\x00", desc="bytes")
        image = inside[2].elems[0]
        assert isinstance(image, ImageElem)
        # the forwarded message made carol a participant of the picture
        assert await image.images[ImageType.ORIGINAL].read() == PICTURE.read_bytes()
        async with server.client("c1") as fresh:
            (again,) = await fresh.c2c("b1").get_messages(5)
            assert [m.text for m in await merger_of(again).messages()] == ["one", "two", ""]
        nested = await carol.c2c("b1").forward([got], title="again", to=carol.c2c("a1"))
        assert merger_of(nested).layers == 2
        (outer,) = await merger_of(nested).messages()
        (inner,) = outer.elems
        assert isinstance(inner, MergerElem)
        assert [m.text for m in await inner.messages()] == ["one", "two", ""]


@pytest.mark.requirement("P06")
async def test_a_merger_too_long_for_a_body_is_uploaded(server: RunningServer, tmp_path: Path) -> None:
    await server.add_users("b2")
    async with server.client("a2", data_dir=tmp_path) as alice, server.client("b2") as bob:
        watch = EventRecorder(bob)
        sent = [await alice.c2c("b2").send(f"{n}: " + "长" * 200) for n in range(300)]
        message = await alice.c2c("b2").forward(sent, title="all of it")
        assert (merger_of(message).content, bool(merger_of(message).url)) == (b"", True)
        got = await watch.wait_for_message(lambda m: m.seq == message.seq)
        inside = await merger_of(got).messages()
        assert [m.text for m in inside] == [m.text for m in sent]
        (local,) = await alice.c2c("b2").get_local_messages(1)
        assert [m.text for m in await merger_of(local).messages()] == [m.text for m in sent]
        with pytest.raises(timim.InvalidArgument, match="300"):
            await alice.c2c("b2").forward([*sent, message], title="one too many")


@pytest.mark.requirement("P06")
async def test_mergers_nest_at_most_a_hundred_layers(server: RunningServer) -> None:
    await server.add_users("b3")
    async with server.client("a3") as alice, server.client("b3") as bob:
        watch = EventRecorder(bob)
        message = await alice.c2c("b3").send("the innermost")
        for _ in range(100):
            message = await alice.c2c("b3").forward([message], title="t", abstracts=[])
        assert merger_of(message).layers == 100
        with pytest.raises(timim.InvalidElem, match="100 layers") as deep:
            await alice.c2c("b3").forward([message], title="t", abstracts=[])
        assert deep.value.code == 6016
        inside: timim.MergedMessage = await watch.wait_for_message(lambda m: m.seq == message.seq)
        depth = 0
        while isinstance(elem := inside.elems[0], MergerElem):
            (inside,) = await elem.messages()
            depth += 1
        assert (depth, inside.text) == (100, "the innermost")


@pytest.mark.requirement("P06")
async def test_forwarding_an_unsuitable_message_is_a_clear_error(server: RunningServer) -> None:
    await server.add_users("b4")
    async with server.client("a4") as alice:
        conversation = alice.c2c("b4")
        gone = await conversation.send("gone")
        await gone.recall()
        with pytest.raises(timim.InvalidArgument, match="recalled"):
            await conversation.forward([gone], title="t")
        with pytest.raises(timim.InvalidArgument, match="not 0"):
            await conversation.forward([], title="t")
        with pytest.raises(timim.InvalidArgument, match="before it was sent"):
            merge_messages([Message("new")], title="t")
        group = await alice.groups.create("Public", name="team")
        await group.set_info(name="crew")
        with pytest.raises(timim.InvalidElem, match="only the server sends"):
            await conversation.forward(list(await group.conversation.get_messages(1)), title="t")
        link = alice.engine.connection.link()
        for content, named in ((b'{"MsgList":[%b]}' % b",".join([b"{}"] * 301), "301"), (b'{"TimelineLayers":101}', "101")):
            body = msgspec.Raw(b'[{"MsgType":"TIMRelayElem","MsgContent":%b}]' % content)
            with pytest.raises(timim.InvalidElem, match=named) as refused:
                await link.call(wire.SEND_C2C, wire.SendC2CRequest(to_account="b4", msg_body=body), timeout_s=5)
            assert refused.value.code == 90010


@pytest.mark.requirement("P06")
async def test_a_foreign_merger_is_kept_byte_for_byte_and_an_oversized_one_does_not_open() -> None:
    inside = b'[{"From_Account":"x","MsgBody":[{"MsgType":"TIMNew","MsgContent":{"n":123456789012345678901234567890}}]}]'
    body = b'[{"MsgType":"TIMRelayElem","MsgContent":{"Title":"t","MsgList":%b}}]' % inside
    (elem,) = decode_body(body)
    assert isinstance(elem, MergerElem)
    assert elem.content == inside
    assert inside in encode_body([elem])
    for strange in (b'{"MsgList":3}', b'{"MsgList":[%b]}' % b",".join([b"{}"] * 301), b'{"Title":[]}'):
        (kept,) = decode_body(b'[{"MsgType":"TIMRelayElem","MsgContent":%b}]' % strange)
        assert isinstance(kept, UnknownElem)
        assert kept.content == strange
    (over,) = decode_body(b'[{"MsgType":"TIMRelayElem","MsgContent":{"LayersOverLimit":1,"Title":"t"}}]')
    assert isinstance(over, MergerElem)
    with pytest.raises(timim.InvalidElem, match="100 layers"):
        await over.messages()


async def test_a_merger_is_stored_under_a_key_that_only_its_readers_load(server: RunningServer) -> None:
    async with server.client("a9") as alice, server.client("b9") as bob:
        heard = EventRecorder(bob)
        await alice.c2c("b9").send("one")
        message = await heard.wait_for_message()
        merged = msgspec.Raw(merge_messages([message], title="-").content)
        link, other = alice.engine.connection.link(), bob.engine.connection.link()
        saved = await link.call(stored.SAVE_MERGER, stored.SaveMergerRequest(messages=merged), timeout_s=5)
        query = stored.LoadMergerRequest(key=saved.key)
        assert (await link.call(stored.LOAD_MERGER, query, timeout_s=5)).messages == merged
        with pytest.raises(TimimError, match="may not read"):
            await other.call(stored.LOAD_MERGER, query, timeout_s=5)
        for bad, reason in ((b"[]", "empty"), (b"[1]", "MsgList"), (b"[%b]" % b",".join([b"{}"] * 301), "300")):
            with pytest.raises(TimimError, match=reason):
                await link.call(stored.SAVE_MERGER, stored.SaveMergerRequest(messages=msgspec.Raw(bad)), timeout_s=5)
        large = msgspec.Raw(b'[{"CloudCustomData":"%b"}]' % (b"x" * (512 * 1024)))
        with pytest.raises(TimimError, match="merge fewer"):
            await link.call(stored.SAVE_MERGER, stored.SaveMergerRequest(messages=large), timeout_s=5)


async def test_each_way_in_gives_a_stored_merger_its_address(server: RunningServer) -> None:
    async with (
        server.client("a10") as alice,
        server.client("b10") as bob,
        RestClient(server) as rest,
        raw_session(server) as other,
    ):
        await alice.c2c("b10").send("one")
        group = await alice.groups.create("Public", name="team", members=["b10"])
        (message,) = await bob.c2c("a10").get_messages(5)
        merged = msgspec.Raw(merge_messages([message], title="-").content)
        link = alice.engine.connection.link()
        saved = await link.call(stored.SAVE_MERGER, stored.SaveMergerRequest(messages=merged), timeout_s=5)

        def named(title: str) -> list[dict[str, Any]]:
            return [{"MsgType": "TIMRelayElem", "MsgContent": {"Title": title, "AbstractList": [], "JsonMsgKey": saved.key}}]

        def body(title: str) -> msgspec.Raw:
            return msgspec.Raw(msgspec.json.encode(named(title)))

        past = int(time.time()) - 60
        each = {"From_Account": "a10", "MsgRandom": 1}
        await rest.done("openim/sendmsg", each | {"To_Account": "b10", "MsgBody": named("send")})
        await rest.done("openim/batchsendmsg", each | {"To_Account": ["b10"], "MsgBody": named("batch")})
        old = {"SyncFromOldSystem": 2, "To_Account": "b10", "MsgTimeStamp": int(time.time())}
        await rest.done("openim/importmsg", each | old | {"MsgBody": named("import")})
        in_group = {"GroupId": group.id, "From_Account": "a10", "Random": 1}
        await rest.done("group_open_http_svc/send_group_msg", in_group | {"MsgBody": named("group")})
        for_import = {"Type": "Public", "Name": "old", "GroupId": "old10", "Owner_Account": "a10", "CreateTime": past - 60}
        await rest.done("group_open_http_svc/import_group", for_import)
        items = [{"From_Account": "a10", "SendTime": past, "Random": 1, "MsgBody": named("group import")}]
        done = await rest.done("group_open_http_svc/import_group_msg", {"GroupId": "old10", "MsgList": items})
        assert [one["Result"] for one in done["ImportMsgResult"]] == [0]
        await other.login("a10")  # a client of Tencent, which names content by its key
        sent, said = await alice.c2c("b10").send("edit me"), await group.conversation.send("edit me too")
        await other.call(edits.EDIT_C2C, edits.EditC2CRequest(to_account="b10", seq=sent.seq, msg_body=body("edit")))
        await other.call(edits.EDIT_GROUP, edits.EditGroupRequest(group_id=group.id, seq=said.seq, msg_body=body("group edit")))
        found = {}
        for conversation in (bob.c2c("a10"), bob.group(group.id), alice.group("old10")):
            for one in [one async for one in conversation.history()]:
                if isinstance(elem := one.elems[0], MergerElem):
                    found[elem.title] = [inner.text for inner in await elem.messages()]
        titles = ("send", "batch", "import", "group", "group import", "edit", "group edit")
        assert found == {title: ["one"] for title in titles}
        wrong = each | {"From_Account": "b10", "To_Account": "a10", "MsgRandom": 2}
        await server.add_users("c10")
        refused = await rest.call("openim/sendmsg", wrong | {"From_Account": "c10", "MsgBody": named("not mine")})
        assert "may not read" in refused["ErrorInfo"]

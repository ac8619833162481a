"""Tests of two clients and a real server in a separate process, over a real socket."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import timim
from tests.support.paths import MEDIA
from timim import (
    Client,
    ConversationType,
    CustomElem,
    FaceElem,
    FileElem,
    ImageElem,
    ImageType,
    LocationElem,
    Message,
    MessageStatus,
    Priority,
    SoundElem,
    TextElem,
    UnknownElem,
    VideoElem,
)
from timim.testing import RunningServer, running_server

WAIT_S = 20


@pytest.fixture
async def server() -> AsyncIterator[RunningServer]:
    async with running_server() as running:
        yield running


class Heard:
    """The messages that a client's handler has received, in order."""

    def __init__(self, client: Client) -> None:
        self.messages: list[Message] = []
        self._more = asyncio.Condition()
        client.on_new_message(self._take)

    async def _take(self, messages: list[Message]) -> None:
        async with self._more:
            self.messages += messages
            self._more.notify_all()

    async def upto(self, count: int) -> list[Message]:
        async with asyncio.timeout(WAIT_S), self._more:
            await self._more.wait_for(lambda: len(self.messages) >= count)
        return self.messages


@pytest.mark.requirement("F01")
async def test_the_same_type_and_peer_give_the_same_unlisted_conversation(server: RunningServer) -> None:
    client = server.client("alice")
    assert client.c2c("bob") is client.conversation(ConversationType.C2C, "bob")
    assert client.c2c("x") is not client.group("x")
    assert client.system() is client.conversation(ConversationType.SYSTEM, "")
    assert len(client.conversations) == 0
    with pytest.raises(timim.InvalidArgument):
        client.c2c("")
    with pytest.raises(timim.InvalidArgument):
        client.c2c("x" * 33)


@pytest.mark.requirement("F02", "F03")
async def test_a_sent_message_has_its_seq_and_time_and_is_frozen(server: RunningServer) -> None:
    async with server.client("alice") as alice, server.client("bob"):
        message = Message("one", TextElem(text="two"), FaceElem(index=0, data=b"\xff\x00"))
        sent = await alice.c2c("bob").send(message)
        assert sent is message
        assert (sent.status, sent.seq, sent.is_self, sent.is_read) == (MessageStatus.SUCCEEDED, 1, True, True)
        assert sent.unique_id >> 32 == 1
        assert len(sent.msg_id) <= 30
        assert sent.timestamp > 0
        with pytest.raises(timim.AlreadySent):
            message.add("late")
        with pytest.raises(timim.AlreadySent):
            await alice.c2c("bob").send(message)
        with pytest.raises(timim.InvalidArgument):
            await alice.c2c("bob").send(Message())


@pytest.mark.requirement("F03")
async def test_a_refused_message_has_status_3_and_raises_the_code(server: RunningServer) -> None:
    async with server.client("alice") as alice:
        message = Message("anybody there?")
        with pytest.raises(timim.UnknownUser) as refused:
            await alice.c2c("nobody").send(message)
        assert refused.value.code == 20003
        assert message.status is MessageStatus.FAILED
        page = await alice.c2c("nobody").get_local_messages()
        assert [m.status for m in page] == [MessageStatus.FAILED]
        with pytest.raises(timim.MessageTooLong):
            await alice.c2c("alice").send("x" * 13_000)


@pytest.mark.requirement("F04", "F08", "F11", "F12", "F13", "F17")
async def test_every_elem_arrives_as_it_was_sent(server: RunningServer) -> None:
    async with server.client("alice") as alice, server.client("bob") as bob:
        heard = Heard(bob)
        elems = (
            TextElem(text="你好 \U0001f600"),
            FaceElem(index=0, data=bytes(range(256))),
            CustomElem(data=b"\x00\xff", desc="d", ext="e", sound="s"),
            LocationElem(desc="here", latitude=-90, longitude=180),
            CustomElem(data=b"{}"),
        )
        await alice.c2c("bob").send(*elems)
        (got,) = await heard.upto(1)
        assert got.elems == elems
        assert [type(e) for e in got] == [type(e) for e in elems]
        assert (got.sender, got.is_self, got.status, got.text) == ("alice", False, 2, "你好 \U0001f600")


@pytest.mark.requirement("F05", "F06", "F07")
async def test_a_picture_has_three_sizes_and_the_original_is_untouched(server: RunningServer, tmp_path: Path) -> None:
    async with server.client("alice") as alice, server.client("bob") as bob:
        heard = Heard(bob)
        picture = MEDIA / "hubble_deep_field.jpg"
        sent = await alice.c2c("bob").send("look", ImageElem(path=picture))
        (got,) = await heard.upto(1)
        image, mine = got[1], sent[1]
        assert isinstance(image, ImageElem)
        assert isinstance(mine, ImageElem)
        assert image.uuid == mine.uuid != ""
        sizes = {kind: (v.width, v.height) for kind, v in image.images.items()}
        assert sizes[ImageType.ORIGINAL] == (1000, 872)
        assert min(sizes[ImageType.LARGE]) == 720
        assert min(sizes[ImageType.THUMB]) == 198
        assert await image.images[ImageType.ORIGINAL].read() == picture.read_bytes()
        thumb = image.images[ImageType.THUMB]
        path = await thumb.download(tmp_path / "thumb.jpg")
        assert path.stat().st_size == thumb.size
        assert os.listdir(tmp_path) == ["thumb.jpg"]  # noqa: PTH208


@pytest.mark.requirement("F05")
async def test_a_file_that_is_not_a_picture_fails_clearly(server: RunningServer, tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "page.png").write_text("<html>not a picture</html>")
    async with server.client("alice") as alice, server.client("bob"):
        for name, error in (
            ("missing.png", timim.FileMissing),
            ("empty.png", timim.EmptyFile),
            ("page.png", timim.NotAnImage),
        ):
            message = Message(ImageElem(path=tmp_path / name))
            with pytest.raises(error):
                await alice.c2c("bob").send(message)
            assert message.status is MessageStatus.FAILED
        await alice.c2c("bob").send("still works")


@pytest.mark.requirement("F09", "F10")
async def test_sound_and_file_by_path_and_by_bytes(server: RunningServer, tmp_path: Path) -> None:
    speech = (MEDIA / "hello-en.wav").read_bytes()
    async with server.client("alice") as alice, server.client("bob") as bob:
        heard = Heard(bob)
        both = Message(SoundElem(data=speech, duration=2), FileElem(data=b"abc", filename="../../x"))
        with pytest.raises(timim.ElemLimitError) as second:
            both.add(SoundElem(data=b"x", duration=1))
        assert second.value.code == 1
        assert len(both) == 2
        await alice.c2c("bob").send(both)
        (got,) = await heard.upto(1)
        sound, file = got
        assert isinstance(sound, SoundElem)
        assert isinstance(file, FileElem)
        assert (sound.duration, sound.size) == (2, len(speech))
        assert await sound.read() == speech
        assert file.filename == "../../x"
        await file.download(tmp_path / "kept")
        assert (tmp_path / "kept").read_bytes() == b"abc"


async def test_video_arrives_with_its_snapshot(server: RunningServer) -> None:
    async with server.client("alice") as alice, server.client("bob") as bob:
        heard = Heard(bob)
        snapshot = MEDIA / "rocket.jpg"
        await alice.c2c("bob").send(VideoElem(data=b"film", duration=3, snapshot=snapshot))
        (got,) = await heard.upto(1)
        video = got[0]
        assert isinstance(video, VideoElem)
        assert (video.snapshot_width, video.snapshot_height, video.duration) == (640, 427, 3)
        assert await video.read() == b"film"
        assert await video.read_snapshot() == snapshot.read_bytes()


@pytest.mark.requirement("F13")
async def test_an_unknown_elem_is_forwarded_byte_for_byte(server: RunningServer) -> None:
    async with server.client("alice") as alice, server.client("bob") as bob:
        heard = Heard(bob)
        content = b'{ "a" : 1.0, "b":170141183460469231731687303715884105728, "c":"\\u4f60" }'
        await alice.c2c("bob").send(UnknownElem(MsgType="TIMFutureElem", content=content))
        (got,) = await heard.upto(1)
        assert got[0] == UnknownElem(MsgType="TIMFutureElem", content=content)
        stored = await bob.c2c("alice").get_local_messages()
        assert stored[0][0] == got[0]


async def test_group_messages_reach_every_member_and_nobody_else(server: RunningServer) -> None:
    async with server.client("alice") as alice, server.client("bob") as bob, server.client("eve") as eve:
        heard, not_heard = Heard(bob), Heard(eve)
        group = await alice.groups.create("Public", name="team", members=["bob"])
        await group.conversation.send("hello")
        await group.conversation.send_red_packet(CustomElem(data=b"{}", desc="packet"))
        notice, *got = sorted(await heard.upto(3), key=lambda m: m.key == group.conversation.key)
        assert notice.key == bob.system().key
        assert [m.seq for m in got] == [1, 2]
        assert got[1].priority is Priority.HIGH
        assert got[0].sender_member is not None
        assert (got[0].sender_member.member, got[0].sender_member.role) == ("alice", "Owner")
        with pytest.raises(timim.NotAMember):
            await eve.group(group.id).send("let me in")
        with pytest.raises(timim.NotAMember):
            await eve.group(group.id).get_messages(10)
        with pytest.raises(timim.InvalidConversation):
            await alice.c2c("bob").send_like("+1")
        assert not_heard.messages == []


@pytest.mark.requirement("F15")
async def test_an_online_message_is_delivered_and_stored_nowhere(server: RunningServer) -> None:
    async with server.client("alice") as alice, server.client("bob") as bob:
        heard = Heard(bob)
        await alice.c2c("bob").send_online("typing")
        await alice.c2c("bob").send("real")
        got = await heard.upto(2)
        assert [(m.text, m.seq) for m in got] == [("typing", 0), ("real", 1)]
        assert [m.text for m in await bob.c2c("alice").get_messages(10)] == ["real"]
        with pytest.raises(timim.InvalidConversation):
            await alice.group("g").send_online("no")


@pytest.mark.requirement("F16")
async def test_offline_messages_are_delivered_once_at_login_and_never_again(server: RunningServer, tmp_path: Path) -> None:
    await server.add_users("bob")
    async with server.client("alice") as alice:
        for i in range(30):
            await alice.c2c("bob").send(str(i))
    bob = server.client("bob", data_dir=tmp_path)
    heard = Heard(bob)
    async with bob:
        got = await heard.upto(30)
        assert [m.text for m in got] == [str(i) for i in range(30)]
    again = server.client("bob", data_dir=tmp_path)
    silent = Heard(again)
    async with again:
        assert len(await again.c2c("alice").get_messages(30)) == 30
    assert silent.messages == []


@pytest.mark.requirement("F19", "F21", "F22")
async def test_two_devices_of_one_user_show_the_same(server: RunningServer) -> None:
    async with (
        server.client("alice") as phone,
        server.client("alice") as desk,
        server.client("bob") as bob,
    ):
        heard, seen = Heard(desk), Heard(phone)
        await phone.c2c("bob").send("from my phone")
        (mine,) = await heard.upto(1)
        assert mine.is_self
        await bob.c2c("alice").send("answer")
        await heard.upto(2)
        await seen.upto(1)
        assert desk.c2c("bob").unread == 1
        await phone.c2c("bob").mark_read()
    async with server.client("alice") as third:
        assert third.c2c("bob").unread == 0
        newest = (await third.c2c("bob").get_messages(1))[0]
        assert (newest.text, newest.is_read) == ("answer", True)
        assert newest.sender_profile is not None
        assert newest.sender_profile.identifier == "bob"


@pytest.mark.requirement("F20", "F24", "F25")
async def test_status_and_custom_fields_survive_refetch_and_restart(server: RunningServer, tmp_path: Path) -> None:
    async with server.client("alice", data_dir=tmp_path) as alice, server.client("bob"):
        for text in ("one", "two", "three"):
            await alice.c2c("bob").send(text)
        three, two, one = await alice.c2c("bob").get_messages(3)
        await three.set_custom_int(1)
        await three.set_custom_data(b"\x00played")
        assert await two.remove()
        assert await one.delete_from_storage()
        assert (await alice.c2c("bob").coverage()).intervals == ((2, 3),)
    async with server.client("alice", data_dir=tmp_path) as alice:
        page = await alice.c2c("bob").get_messages(3)
        assert [m.text for m in page] == ["three", "two", "one"]
        assert page.requests == 1
        assert [m.status for m in page] == [2, 4, 2]
        assert (page[0].custom_int, page[0].custom_data) == (1, b"\x00played")
        assert [m.text async for m in alice.c2c("bob").history()] == ["three", "one"]


@pytest.mark.requirement("F27", "F29")
async def test_conversations_and_local_messages_need_no_network(server: RunningServer, tmp_path: Path) -> None:
    async with server.client("alice", data_dir=tmp_path) as alice, server.client("bob"), server.client("carol"):
        await alice.c2c("bob").send("b")
        await alice.c2c("carol").send("c")
        assert [c.peer for c in alice.conversations] == ["carol", "bob"]
    offline = server.client("alice", data_dir=tmp_path)
    await offline.open()
    assert sorted(c.peer for c in offline.conversations) == ["bob", "carol"]
    page = await offline.c2c("bob").get_local_messages(20)
    assert ([m.text for m in page], page.source, page.requests) == (["b"], "local", 0)
    assert await offline.delete_conversation(ConversationType.C2C, "bob")
    assert not await offline.delete_conversation(ConversationType.C2C, "bob")
    assert [c.peer for c in offline.conversations] == ["carol"]
    await offline.close()


async def test_nothing_is_lost_or_repeated_when_the_server_is_killed(server: RunningServer, tmp_path: Path) -> None:
    async with server.client("alice", data_dir=tmp_path / "a") as alice, server.client("bob") as bob:
        heard = Heard(bob)
        sending = [asyncio.create_task(alice.c2c("bob").send(str(i))) for i in range(300)]
        await heard.upto(20)
        await server.crash()
        await server.restart()
        sent = await asyncio.gather(*sending)
        got = await heard.upto(300)
        assert [m.text for m in got] == [str(i) for i in range(300)]
        assert [m.seq for m in got] == list(range(1, 301)) == [m.seq for m in sent]


@pytest.mark.requirement("R4")
async def test_the_same_msg_id_is_the_same_entry_after_a_restart(server: RunningServer) -> None:
    from msgspec import Raw

    from timim.protocol import messages as wire

    def body(text: str) -> wire.SendC2CRequest:
        content = Raw(b'[{"MsgType":"TIMTextElem","MsgContent":{"Text":"%b"}}]' % text.encode())
        return wire.SendC2CRequest(to_account="bob", msg_random=7, client_time=1_700_000_000, msg_body=content)

    await server.add_users("bob")
    seqs = []
    for _ in range(2):
        async with server.client("alice") as alice:
            link = alice.engine.connection.link()
            first = await link.call(wire.SEND_C2C, body("hi"), timeout_s=5)
            again = await link.call(wire.SEND_C2C, body("hi"), timeout_s=5)
            seqs += [first.timeline_seq, again.timeline_seq]
            with pytest.raises(timim.MsgIdConflict):
                await link.call(wire.SEND_C2C, body("ho"), timeout_s=5)
        await server.restart()
    assert seqs == [1, 1, 1, 1]


async def test_bad_logins_raise_distinct_errors(server: RunningServer, tmp_path: Path) -> None:
    made: list[Client] = []

    def client(url: str = server.url, **given: object) -> Client:
        options = {"app_id": server.app_id, "user_id": "alice", "data_dir": ":memory:", "timeout": 5} | given
        made.append(Client(url, **options))  # type: ignore[arg-type]
        return made[-1]

    good = timim.sign_user(server.app_id, server.secret_key, "alice")
    with pytest.raises(timim.AuthError) as wrong:
        await client(user_sig=good[:-4] + "AAAA").login()
    assert wrong.value.code == 70003
    with pytest.raises(timim.SignatureExpired):
        await client(user_sig=timim.sign_user(server.app_id, server.secret_key, "alice", now=1.0)).login()
    with pytest.raises(timim.AuthError) as other:
        await client(user_sig=timim.sign_user(server.app_id, server.secret_key, "bob")).login()
    assert other.value.code == 70013
    with pytest.raises(timim.ConnectionFailed):
        await client("ws://127.0.0.1:1", user_sig=good).login()
    with pytest.raises(timim.InvalidArgument):
        client("http://127.0.0.1:1", user_sig=good)
    first = server.client("alice", data_dir=tmp_path)
    await first.open()
    with pytest.raises(timim.StoreInUse):
        await server.client("alice", data_dir=tmp_path).open()
    for one in (first, *made):  # a failed login leaves the local store open, for local queries
        await one.close()


async def test_expect_listens_before_its_body_runs(server: RunningServer) -> None:
    async with server.client("alice") as alice, server.client("bob") as bob:

        @bob.on_new_message
        async def pong(messages: list[Message]) -> None:
            for message in messages:
                await bob.c2c(message.sender).send("pong " + message.text)

        async with alice.c2c("bob").expect(lambda m: "pong" in m.text, timeout=WAIT_S) as got:
            await alice.c2c("bob").send("ping")
        assert (await got).text == "pong ping"

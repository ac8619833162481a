"""Tests of read states, receipts, unread counts, pins, mutes, drafts, mentions and replies on all devices of a user (P06)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

import timim
from tests.integration.server.test_system_messages import Foreign
from timim import ALL, ConversationChanged, Message, QuotedMessage, ReadReceipt
from timim.protocol import conversation_list as contact_wire
from timim.protocol import conversation_settings as wire
from timim.testing import EventRecorder, RunningServer, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")
MISSED = 50


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[RunningServer]:
    async with running_server(group_messages_per_s=0, receipt_group_members=4) as running:
        yield running


@pytest.mark.requirement("P06")
async def test_the_sender_learns_how_far_the_peer_has_read(server: RunningServer, tmp_path: Path) -> None:
    await server.add_users("b1")
    away = server.client("a1", data_dir=tmp_path)
    watch = EventRecorder(away, ReadReceipt)
    async with away, server.client("b1") as bob, server.client("a1") as other:
        at_other, at_bob = EventRecorder(other, ReadReceipt), EventRecorder(bob)
        sent = [await away.c2c("b1").send(f"m{n}") for n in range(4)]
        received = await at_bob.wait_for_messages(4)
        assert not sent[0].read_by_peer
        await bob.c2c("a1").mark_read(upto=received[1])
        assert bob.c2c("a1").unread == 2
        for one in (watch, at_other):
            receipt = await one.wait_for_event(ReadReceipt)
            assert (receipt.user, receipt.seq, receipt.conversation.peer) == ("b1", 2, "b1")
        assert away.c2c("b1").peer_read_seq == 2
        assert [m.read_by_peer for m in away.c2c("b1").get_cached_messages()] == [False, False, True, True]
        await bob.c2c("a1").mark_read(upto=received[0])  # the read seq does not decrease, so no receipt is sent
        assert bob.c2c("a1").unread == 2
        await away.logout()
        await bob.c2c("a1").mark_read()
        await away.login()
        await watch.wait_for_event(ReadReceipt, lambda e: e.seq == 4)
        assert [e.seq for e in watch.events if isinstance(e, ReadReceipt)] == [2, 4]
        assert all(m.read_by_peer for m in await away.c2c("b1").get_local_messages(10))
    async with server.client("a1") as fresh:
        page = await fresh.c2c("b1").get_messages(10)
        assert [m.read_by_peer for m in page] == [True] * 4
        # messages that the reader received are not "read by the peer"
        assert not (await server_bob_page(server))[0].read_by_peer
    again = server.client("a1", data_dir=tmp_path)
    later = EventRecorder(again, ReadReceipt)
    async with again:
        assert again.c2c("b1").peer_read_seq == 4
        await again.c2c("b1").send("end")
    assert later.events == []


async def server_bob_page(server: RunningServer) -> list[Message]:
    async with server.client("b1") as bob:
        return list(await bob.c2c("a1").get_messages(10))


@pytest.mark.requirement("P06")
async def test_a_group_message_that_requests_receipts_counts_its_readers(server: RunningServer, tmp_path: Path) -> None:
    await server.add_users("b2", "c2")
    alice = server.client("a2", data_dir=tmp_path)
    watch = EventRecorder(alice, ReadReceipt)
    async with alice, server.client("b2") as bob, server.client("c2") as carol:
        at_bob, at_carol = EventRecorder(bob), EventRecorder(carol)
        group = await alice.groups.create("Public", name="team", members=["b2", "c2"])
        plain = await group.conversation.send("plain")
        asking = await group.conversation.send("who read this?", request_receipt=True)
        seen = await at_bob.wait_for_message(lambda m: m.seq == asking.seq and m.text == asking.text)
        assert seen.receipt_requested
        await bob.group(group.id).mark_read()
        told = await watch.wait_for_event(ReadReceipt)
        assert (told.conversation, told.seq, told.readers, told.others) == (group.conversation.key, asking.seq, 1, 1)
        assert (asking.read_receipt_count, asking.unread_receipt_count) == (1, 1)
        assert [reader.user_id async for reader in asking.readers()] == ["b2"]
        assert [user async for user in asking.not_readers()] == ["c2"]
        with pytest.raises(timim.NoPermission):
            await anext(plain.readers())
        with pytest.raises(timim.NoPermission):
            await anext(seen.readers())  # only the sender sees the readers
        await alice.logout()
        await at_carol.wait_for_message(lambda m: m.text == asking.text)
        await carol.group(group.id).mark_read()
        await alice.login()
        await watch.wait_for_event(ReadReceipt, lambda e: e.readers == 2)
        assert [e.readers for e in watch.events if isinstance(e, ReadReceipt)] == [1, 2]
    async with server.client("a2") as fresh:
        (held,) = [m for m in await fresh.group(group.id).get_messages(5) if m.seq == asking.seq]
        assert (held.receipt_requested, held.read_receipt_count, held.unread_receipt_count) == (True, 2, 0)


@pytest.mark.requirement("P06")
async def test_receipts_and_mentions_are_refused_where_they_make_no_sense(server: RunningServer) -> None:
    await server.add_users(*(f"b3-{n}" for n in range(4)))
    async with server.client("a3") as alice, server.client("b3-0") as bob:
        group = await alice.groups.create("Public", name="team", members=[f"b3-{n}" for n in range(4)])
        with pytest.raises(timim.InvalidArgument, match="4 members") as big:
            await group.conversation.send("x", request_receipt=True)
        assert big.value.code == 10004
        with pytest.raises(timim.InvalidConversation):
            await alice.c2c("b3-0").send("x", mention=["b3-0"])
        with pytest.raises(timim.NoPermission) as no:
            await bob.group(group.id).send("all of you", mention=[ALL])
        assert no.value.code == 10007
        with pytest.raises(timim.InvalidArgument, match="30"):
            await group.conversation.send("x", mention=[f"u{n}" for n in range(31)])
        with pytest.raises(timim.InvalidArgument, match="list"):
            await group.conversation.send("x", mention="b3-0")
        with pytest.raises(timim.InvalidArgument, match=r"mention\[0\]: must not be empty"):
            await group.conversation.send("x", mention=[""])


@pytest.mark.requirement("P06")
async def test_unread_and_mentions_are_exact_after_a_relogin_above_a_gap(server: RunningServer, tmp_path: Path) -> None:
    await server.add_users("b4")
    async with server.client("a4") as alice:
        group = await alice.groups.create("Public", name="team", members=["b4"])
        first = await group.conversation.send("first")
        async with server.client("b4", data_dir=tmp_path) as bob:
            await bob.group(group.id).mark_read()
            await bob.system().mark_read()
            assert bob.unread == 0
        for n in range(MISSED):
            await group.conversation.send(f"m{n}", mention=[ALL] if n == 10 else ["b4", "nobody"] if n == 20 else [])
        await group.set_info(name="crew")  # tips do not count as unread
        await alice.c2c("b4").send("hello")
        async with server.client("b4", data_dir=tmp_path) as bob, server.client("b4") as other:
            team = bob.group(group.id)
            assert (team.unread, team.mentioned, bob.c2c("a4").unread, bob.unread) == (MISSED, 2, 1, MISSED + 1)
            assert not (await team.coverage()).complete  # the counts are known although the messages are not stored locally
            watch = EventRecorder(bob)
            await group.conversation.send("now", mention=["b4"])
            await watch.wait_for_message(lambda m: m.text == "now")
            assert (team.unread, team.mentioned) == (MISSED + 1, 3)
            page = await team.get_messages(45)
            calling = next(m for m in page if m.text == "m20")
            assert calling.mentions == ("b4", "nobody")
            at_other = EventRecorder(other, ReadReceipt)
            await team.mark_read(upto=calling)
            assert (team.unread, team.mentioned) == (MISSED - 20, 1)
            await group.conversation.send("after")
            await at_other.wait_for_message(lambda m: m.text == "after")
            await watch.wait_for_message(lambda m: m.text == "after")
            assert (team.unread, team.mentioned) == (MISSED - 19, 1)
            assert (other.group(group.id).unread, other.group(group.id).mentioned) == (MISSED - 19, 1)
            await team.get_messages(60)  # now all messages are stored locally, and their rows give the same counts
            async with server.client("b4") as fresh:
                assert (fresh.group(group.id).unread, fresh.unread) == (MISSED - 19, MISSED - 18)
            await bob.mark_all_read()
            assert (bob.unread, team.unread, team.mentioned) == (0, 0, 0)
            await alice.c2c("b4").send("end")
            await at_other.wait_for_message(lambda m: m.text == "end")
            assert other.unread == 1
        async with server.client("b4", data_dir=tmp_path) as bob:
            assert (bob.unread, bob.c2c("a4").unread) == (1, 1)
            assert first.seq == 1


@pytest.mark.requirement("P06")
async def test_pins_mutes_and_drafts_are_the_same_on_all_devices(server: RunningServer, tmp_path: Path) -> None:
    await server.add_users("b5")
    async with server.client("a5") as alice:
        group = await alice.groups.create("Public", name="team", members=["b5"])
        await group.conversation.send("hello")
        one = server.client("b5", data_dir=tmp_path)
        at_one = EventRecorder(one, ConversationChanged)
        async with one, server.client("b5") as two:
            at_two = EventRecorder(two, ConversationChanged)
            team = one.group(group.id)
            await alice.c2c("b5").send("newer")
            await at_one.wait_for_message(lambda m: m.text == "newer")
            assert next(iter(one.conversations)) is one.c2c("a5")
            await team.set_pinned(True)
            assert next(iter(one.conversations)) is team
            await one.c2c("a5").set_muted(True)
            await team.set_draft("half a sen")
            changed = await at_two.wait_for_event(ConversationChanged, lambda e: e.draft != "")
            assert (changed.conversation, changed.pinned, changed.muted) == (team.key, True, False)
            assert (team.pinned, team.draft) == (True, "half a sen")
            theirs = two.group(group.id)
            assert (theirs.pinned, theirs.muted, theirs.draft) == (True, False, "half a sen")
            assert two.c2c("a5").muted
            assert len(at_two.events) == 3
            assert at_one.events == []  # the device that made a change gets no event
            await alice.c2c("b5").send("quiet")
            await at_two.wait_for_message(lambda m: m.text == "quiet")
            assert two.c2c("a5").unread == 2
            assert two.unread == two.group(group.id).unread + two.system().unread  # muted conversations do not count
            await one.logout()
            assert one.group(group.id).pinned
            await two.group(group.id).set_pinned(False)
            await two.c2c("a5").set_muted(False)
            await one.group(group.id).set_draft("written on the train")  # without a connection
            await one.login()
            changed = await at_two.wait_for_event(ConversationChanged, lambda e: e.draft == "written on the train")
            assert (team.pinned, one.c2c("a5").muted, team.draft) == (False, False, "written on the train")
        async with server.client("b5") as fresh:
            kept = fresh.group(group.id)
            assert (kept.pinned, kept.muted, kept.draft) == (False, False, "written on the train")
            await kept.set_draft("")
        async with server.client("b5", data_dir=tmp_path) as back:
            assert back.group(group.id).draft == ""
        with pytest.raises(timim.InvalidArgument):
            async with server.client("b5") as fresh:
                await fresh.c2c("a5").set_draft("x" * 13_000)
        async with server.client("c5") as stranger:
            with pytest.raises(timim.NotAMember):
                await stranger.group(group.id).set_pinned(True)


@pytest.mark.requirement("P06")
async def test_a_conversation_without_messages_can_be_pinned(server: RunningServer) -> None:
    await server.add_users("b6")
    async with server.client("a6") as alice:
        await alice.c2c("b6").set_pinned(True)
        assert len(alice.conversations) == 0
        async with server.client("a6") as fresh:
            assert fresh.c2c("b6").pinned
            assert len(fresh.conversations) == 0
            await fresh.c2c("b6").send("first")
            assert (await fresh.c2c("b6").coverage()).intervals == ((1, 1),)
        async with server.client("b6") as bob:
            assert bob.c2c("a6").unread == 1


@pytest.mark.requirement("P06")
async def test_mentions_and_replies_reach_everybody_also_after_a_restart_of_the_sender(
    server: RunningServer, tmp_path: Path
) -> None:
    await server.add_users("b7")
    alice = server.client("a7", data_dir=tmp_path)
    async with alice, server.client("b7") as bob:
        watch = EventRecorder(bob)
        group = await alice.groups.create("Public", name="team", members=["b7"])
        asked = await group.conversation.send("who comes?", mention=["b7", ALL, "b7"])
        assert asked.mentions == ("b7", ALL)
        heard = await watch.wait_for_message(lambda m: m.text == "who comes?")
        assert heard.mentions == ("b7", ALL)
        answer = await bob.group(group.id).send(Message("I do", cloud_custom_data='{"mine": 1}'), reply_to=heard)
        assert answer.reply_to == QuotedMessage(asked.seq, asked.msg_id, "a7", "who comes?", asked.timestamp)
        assert '"mine": 1' in answer.cloud_custom_data
        with pytest.raises(timim.InvalidArgument, match="belongs to"):
            await bob.c2c("a7").send("elsewhere", reply_to=heard)
        with pytest.raises(timim.InvalidArgument, match="JSON"):
            await bob.group(group.id).send(Message("x", cloud_custom_data="not JSON"), reply_to=heard)
        await server.crash()
        sending = group.conversation.send("later", mention=["b7"], request_receipt=True, timeout=0.1)
        with pytest.raises(timim.RequestTimeout):
            await sending
    await server.start()
    async with server.client("b7") as bob, server.client("a7", data_dir=tmp_path):
        late = await Watch_of(bob, "later", group.id)
        assert (late.mentions, late.receipt_requested) == (("b7",), True)
        page = await bob.group(group.id).get_messages(5)
        assert [m.reply_to.seq if m.reply_to else 0 for m in page] == [0, 1, 0]


async def Watch_of(client: timim.Client, text: str, group_id: str) -> Message:  # noqa: N802
    """Wait for a message with this text and return it; it may already have been received."""
    waiting = client.group(group_id).wait_for(lambda m: m.text == text, timeout=20)
    found = [m for m in await client.group(group_id).get_messages(5) if m.text == text]
    if found:
        waiting.cancel()
        return found[0]
    return await waiting


@pytest.mark.requirement("P06")
async def test_other_clients_are_notified_in_their_own_format(server: RunningServer) -> None:
    await server.add_users("b8")
    async with server.client("a8") as alice, Foreign(server, "a8") as own, Foreign(server, "b8") as bob:
        message = await alice.c2c("b8").send("hello")
        await alice.c2c("b8").set_pinned(True)
        assert (await own.event(10004))["RecentContactMod"][0]["PushType"] == 2  # type: ignore[index]
        listed = await own.link.call(contact_wire.LIST_CONVERSATIONS, contact_wire.ListConversationsRequest(), timeout_s=5)
        assert [(item.top_flags, item.to_account) for item in listed.items] == [(1, "b8")]
        item = wire.PinItem(type=1, to_account="b8")
        await own.link.call(wire.PIN_CONVERSATIONS, wire.PinRequest(operation=wire.UNPIN, items=[item]), timeout_s=5)
        await own.link.call(wire.MUTE_C2C, wire.MuteC2CRequest(peers=["b8"], mute=1), timeout_s=5)
        muted = await own.link.call(wire.GET_MUTED_C2C, wire.GetMutedC2CRequest(peers=["b8", "c8"]), timeout_s=5)
        assert [(one.peer, one.mute) for one in muted.items] == [("b8", 1), ("c8", 0)]
        async with server.client("b8") as reader:
            await reader.c2c("a8").get_messages(5)
            await reader.c2c("a8").mark_read()
            receipt = (await own.event(10))["C2cNotifyMsgArray"][0]["C2cReadedReceipt"]  # type: ignore[index]
            assert (receipt["To_Account"], receipt["UinPairReadArray"]) == ("b8", [{"LastReadTime": message.timestamp}])
            notice = (await bob.event(10))["C2cNotifyMsgArray"][0]["ReadC2cMsgNotify"]  # type: ignore[index]
            assert notice["UinPairReadArray"] == [{"From_Account": "a8", "LastReadTime": message.timestamp}]
    async with server.client("a8") as fresh:
        assert (fresh.c2c("b8").pinned, fresh.c2c("b8").muted) == (False, True)

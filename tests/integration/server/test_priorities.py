"""Tests of priorities in a busy group: likes are refused first, red packets never, and senders of refused messages are told."""

from __future__ import annotations

import asyncio

import pytest

import timim
from timim import Message, Priority
from timim.testing import EventRecorder, running_server


@pytest.mark.requirement("F14", "R20")
async def test_shed_messages_take_no_seq_and_their_senders_are_notified() -> None:
    async with (
        running_server(group_messages_per_s=5, group_burst_s=4) as server,
        server.client("alice") as alice,
        server.client("bob") as bob,
    ):
        watch = EventRecorder(bob)
        group = await alice.groups.create("Meeting", name="party", members=["bob"])
        room = group.conversation

        async def send(n: int) -> tuple[Priority, Message | timim.RateLimited]:
            kind = (Priority.HIGH, Priority.NORMAL, Priority.LOW, Priority.LOW)[n % 4]
            try:
                return kind, await room.send(f"{kind.value} {n}", priority=kind)
            except timim.RateLimited as exc:
                return kind, exc

        outcomes = await asyncio.gather(*(send(n) for n in range(120)))
        stored = [(kind, m) for kind, m in outcomes if isinstance(m, Message)]
        refused = [(kind, e) for kind, e in outcomes if isinstance(e, timim.RateLimited)]
        assert all(e.code == 10023 and e.retry_after and e.retry_after > 0 for _, e in refused)
        assert sum(kind is Priority.HIGH for kind, _ in stored) == 30
        likes = [n for n, (kind, m) in enumerate(outcomes) if kind is Priority.LOW and isinstance(m, timim.RateLimited)]
        texts = [n for n, (kind, m) in enumerate(outcomes) if kind is Priority.NORMAL and isinstance(m, timim.RateLimited)]
        assert likes
        assert texts
        assert likes[0] < texts[0]  # the first refused message is a like
        assert sorted(m.seq for _, m in stored) == list(range(1, len(stored) + 1))
        await watch.wait_for_message(lambda m: m.seq == len(stored) and m.key == room.key)
        heard = [m.text for m in watch.messages if m.key == room.key]
        assert heard == [m.text for _, m in sorted(stored, key=lambda one: one[1].seq)]
        failed = [m for m in await room.get_local_messages(200) if m.status is timim.MessageStatus.FAILED]
        assert len(failed) == len(refused)


@pytest.mark.requirement("F14")
async def test_likes_and_red_packets_carry_their_priority_and_go_to_groups_only() -> None:
    async with running_server() as server, server.client("alice") as alice, server.client("bob") as bob:
        watch = EventRecorder(bob)
        group = await alice.groups.create("Public", name="g", members=["bob"])
        await group.conversation.send_like("+1")
        await group.conversation.send_red_packet("8")
        like = await watch.wait_for_message(lambda m: m.text == "+1")
        packet = await watch.wait_for_message(lambda m: m.text == "8")
        assert (like.priority, packet.priority) == (Priority.LOW, Priority.HIGH)
        for refused in (alice.c2c("bob").send_like, alice.c2c("bob").send_red_packet):
            with pytest.raises(timim.InvalidConversation):
                await refused("no")
        for priority in set(Priority) - {Priority.NORMAL}:
            with pytest.raises(timim.InvalidConversation, match="priority= is for groups"):
                await alice.c2c("bob").send("no", priority=priority)
        assert list(await alice.c2c("bob").get_local_messages(20)) == []


async def test_a_retry_of_a_stored_message_gets_its_seq_despite_later_rules() -> None:
    from msgspec import Raw

    from timim.protocol import messages as wire

    async with (
        running_server(group_messages_per_s=1, group_burst_s=2) as server,
        server.client("alice") as alice,
        server.client("bob") as bob,
    ):
        group = await alice.groups.create("Meeting", name="g", members=["bob"])
        text = Raw(b'[{"MsgType":"TIMTextElem","MsgContent":{"Text":"x"}}]')

        async def to_group(number: int) -> int:
            body = wire.SendGroupRequest(group_id=group.id, random=number, client_time=1_700_000_000, msg_body=text)
            return (await bob.engine.connection.link().call(wire.SEND_GROUP, body, timeout_s=5)).timeline_seq

        async def to_alice(number: int) -> int:
            body = wire.SendC2CRequest(to_account="alice", msg_random=number, client_time=1_700_000_000, msg_body=text)
            return (await bob.engine.connection.link().call(wire.SEND_C2C, body, timeout_s=5)).timeline_seq

        assert [await to_group(1), await to_group(2), await to_alice(1)] == [1, 2, 1]
        with pytest.raises(timim.RateLimited):
            await to_group(3)
        assert [await to_group(1), await to_group(2)] == [1, 2]
        await group.mute("bob", 100)
        with pytest.raises(timim.Muted):
            await to_group(3)
        assert await to_group(1) == 1
        await group.kick("bob")
        with pytest.raises(timim.NotAMember):
            await to_group(3)
        assert await to_group(2) == 2
        await alice.friends.block("bob")
        with pytest.raises(timim.Blacklisted):
            await to_alice(2)
        assert await to_alice(1) == 1

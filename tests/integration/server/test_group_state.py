"""Tests of the counters and pinned messages of groups, of members online, and of the list of applications to join."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.users import Users
from timim import (
    GroupCountersChanged,
    GroupPinChanged,
    InvalidArgument,
    JoinApplication,
    LimitReached,
    NoPermission,
    NotAMember,
    RateLimited,
)
from timim.testing import EventRecorder, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_members_see_the_counters_of_their_group_change(users: Users) -> None:
    owner, member, stranger = await users.login("owner"), await users.login("member"), await users.login("stranger")
    heard = EventRecorder(member, GroupCountersChanged)
    group = await owner.groups.create("Public", name="team", members=[users.id("member")])
    await group.counters.set({"likes": 3, "gifts": 2**62})
    event = await heard.wait_for_event(GroupCountersChanged)
    assert (event.group_id, dict(event.counters), event.user) == (group.id, {"likes": 3, "gifts": 2**62}, users.id("owner"))
    theirs = member.groups.of(group.id)
    assert await theirs.counters.increase("likes") == 4
    assert await theirs.counters.increase("likes", -6) == -2
    assert await group.counters.get() == {"likes": -2, "gifts": 2**62}
    await group.counters.set({"gifts": 0})
    event = await heard.wait_for_event(GroupCountersChanged, lambda e: e.counters.get("gifts") == 0)
    assert dict(event.counters) == {"gifts": 0}
    with pytest.raises(NotAMember):
        await stranger.groups.of(group.id).counters.increase("likes")


async def test_a_group_has_20_counters_of_64_bits(users: Users) -> None:
    owner = await users.login("owner")
    group = await owner.groups.create("Public", name="team")
    await group.counters.set({f"key{number}": number for number in range(20)})
    with pytest.raises(LimitReached):
        await group.counters.increase("one more")
    await group.counters.set({"key0": 2**63 - 1})
    with pytest.raises(InvalidArgument, match="64 bits"):
        await group.counters.increase("key0")
    assert (await group.counters.get())["key0"] == 2**63 - 1


async def test_admins_pin_messages_for_all_members(users: Users) -> None:
    owner, member = await users.login("owner"), await users.login("member")
    heard = EventRecorder(member, GroupPinChanged)
    group = await owner.groups.create("Public", name="team", members=[users.id("member")])
    theirs = member.groups.of(group.id)
    message, other = await theirs.conversation.send("rules"), await theirs.conversation.send("gone")
    await group.pins.add(message.seq)
    event = await heard.wait_for_event(GroupPinChanged)
    assert (event.group_id, event.seq, event.pinned, event.user) == (group.id, message.seq, True, users.id("owner"))
    await group.pins.add(other.seq)
    await other.recall()
    assert [(pin.seq, pin.user) for pin in await theirs.pins.list()] == [(message.seq, users.id("owner"))]
    with pytest.raises(NoPermission):
        await theirs.pins.remove(message.seq)
    await group.pins.remove(message.seq)
    assert (await heard.wait_for_event(GroupPinChanged, lambda e: not e.pinned)).seq == message.seq
    assert await theirs.pins.list() == ()


async def test_a_group_has_10_pinned_messages(users: Users) -> None:
    owner = await users.login("owner")
    group = await owner.groups.create("Public", name="team")
    sent = [await group.conversation.send(str(number)) for number in range(11)]
    for message in sent[:10]:
        await group.pins.add(message.seq)
    with pytest.raises(LimitReached):
        await group.pins.add(sent[10].seq)
    await group.pins.add(sent[0].seq)  # is pinned


async def test_admins_list_the_applications_that_they_may_answer(users: Users) -> None:
    owner, asking = await users.login("owner"), await users.login("asking")
    group = await owner.groups.create("Public", name="team")
    assert not await asking.groups.join(group.id, wording="let me in")
    (application,) = await owner.groups.applications()
    assert application == JoinApplication(group.id, users.id("asking"), "", "let me in", application.time)
    assert await asking.groups.applications() == ()
    await group.accept(users.id("asking"))
    assert await owner.groups.applications() == ()


async def test_members_count_those_who_are_online(users: Users) -> None:
    owner, _ = await users.login("owner"), await users.login("member")
    offline = users.id("offline")
    await users.server.add_users(offline)
    group = await owner.groups.create("Public", name="team", members=[users.id("member"), offline])
    assert await owner.groups.online_members(group.id) == 2


async def test_changes_of_counters_count_in_the_rate_of_the_group() -> None:
    async with running_server(group_messages_per_s=2) as server, server.client("owner") as owner:
        group = await owner.groups.create("Public", name="team")
        outcomes = await asyncio.gather(*(group.counters.increase("likes") for _ in range(100)), return_exceptions=True)
        refused = [one for one in outcomes if isinstance(one, BaseException)]
        assert refused
        assert all(isinstance(one, RateLimited) and one.retry_after for one in refused)
        assert await group.counters.get() == {"likes": 100 - len(refused)}

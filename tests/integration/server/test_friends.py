"""Tests of friends against a real server: applications, friend groups and the blacklist, on every device."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

import timim
from timim import AllowType, Client, RelationChanged, RelationElem, RelationType
from timim.testing import EventRecorder, RunningServer, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[RunningServer]:
    async with running_server(friends=3) as running:
        yield running


async def befriend(one: Client, other: Client) -> None:
    await one.friends.add(other.user_id)
    await other.friends.accept(one.user_id)


async def names(client: Client) -> list[str]:
    return [friend.user_id for friend in await client.friends.list()]


@pytest.mark.requirement("F34")
async def test_an_application_is_received_and_accepted_and_both_sides_are_notified(server: RunningServer) -> None:
    async with server.client("a1") as alice, server.client("b1") as bob, server.client("b1") as bobs_other:
        at_alice, at_bob, at_other = (EventRecorder(client, RelationChanged) for client in (alice, bob, bobs_other))
        await alice.profile.set(nickname="Alice")
        assert not await alice.friends.add("b1", wording="hi, it's me", remark="Bobby", group="work")
        asked = await at_bob.wait_for_event(RelationChanged)
        assert (asked.change.type, asked.change.users) == (RelationType.APPLICATION_ADDED, ("a1",))
        assert (asked.change.wording, asked.message.key) == ("hi, it's me", bob.system().key)
        (application,) = await bob.friends.applications()
        assert (application.user_id, application.nickname, application.wording) == ("a1", "Alice", "hi, it's me")
        assert [one.user_id for one in await alice.friends.applications(sent=True)] == ["b1"]
        await bob.friends.accept("a1", remark="Al")
        for watch, friend in ((at_alice, "b1"), (at_bob, "a1"), (at_other, "a1")):
            added = await watch.wait_for_event(RelationChanged, lambda e: e.change.type is RelationType.FRIEND_ADDED)
            assert added.change.users == (friend,)
        (bobby,) = await alice.friends.list()
        assert (bobby.user_id, bobby.remark, bobby.groups) == ("b1", "Bobby", ("work",))
        assert [(one.user_id, one.nickname, one.remark) for one in await bob.friends.list()] == [("a1", "Alice", "Al")]
        assert await bob.friends.applications() == await alice.friends.applications(sent=True) == ()
        assert await alice.friends.add("b1")  # they are friends already, so nothing changes


async def test_users_accept_everybody_nobody_or_after_confirmation(server: RunningServer) -> None:
    async with server.client("a2") as alice, server.client("b2") as bob, server.client("c2") as carol:
        await bob.profile.set(allow=AllowType.ANY)
        assert await alice.friends.add("b2")
        assert await names(alice) == ["b2"]
        assert await names(bob) == ["a2"]
        await bob.profile.set(allow=AllowType.DENY)
        with pytest.raises(timim.FriendRefused) as refused:
            await carol.friends.add("b2")
        assert refused.value.code == 30516
        assert not await alice.friends.add("c2")
        assert await carol.friends.add("a2")  # each applied to the other, so they become friends
        assert await names(carol) == ["a2"]


async def test_friends_are_refused_and_deleted_on_one_side_or_both(server: RunningServer) -> None:
    async with server.client("a3") as alice, server.client("b3") as bob:
        at_alice = EventRecorder(alice, RelationChanged)
        await alice.friends.add("b3")
        await bob.friends.refuse("a3")
        gone = await at_alice.wait_for_event(RelationChanged)
        assert (gone.change.type, gone.change.users) == (RelationType.APPLICATION_DELETED, ("b3",))
        with pytest.raises(timim.NoSuchApplication) as none:
            await bob.friends.accept("a3")
        assert none.value.code == 30614
        await befriend(alice, bob)
        await alice.friends.delete("b3")
        assert (await names(alice), await names(bob)) == ([], ["a3"])
        assert await alice.friends.add("b3")  # alice is still on bob's list, so no application is needed
        await alice.friends.delete("b3", both=True)
        assert (await names(alice), await names(bob)) == ([], [])
        with pytest.raises(timim.NotFriends) as strangers:
            await alice.friends.delete("b3")
        assert strangers.value.code == 31704
        await alice.friends.add("b3")
        await alice.friends.withdraw("b3")
        assert await bob.friends.applications() == ()
        with pytest.raises(timim.NoSuchApplication):
            await alice.friends.withdraw("b3")
        await alice.friends.add("b3")
        await bob.friends.accept("a3", add_back=False)
        assert (await names(alice), await names(bob)) == (["b3"], [])


async def test_remarks_and_friend_groups_reach_the_other_devices(server: RunningServer) -> None:
    async with server.client("a4") as alice, server.client("a4") as other, server.client("b4") as bob:
        await befriend(alice, bob)
        watch = EventRecorder(other, RelationChanged)
        await alice.friends.set_remark("b4", "Bob the builder")
        changed = await watch.wait_for_event(RelationChanged, lambda e: e.change.type is RelationType.FRIEND_CHANGED)
        assert changed.change.users == ("b4",)
        await alice.friends.set_groups("b4", ["home", "chess"])
        await alice.friends.add_group("work", ["b4"])
        assert await other.friends.groups() == {"home": ("b4",), "chess": ("b4",), "work": ("b4",)}
        await alice.friends.delete_group("home")
        (friend,) = await other.friends.list()
        assert (friend.remark, friend.groups) == ("Bob the builder", ("chess", "work"))
        await alice.friends.read_applications()
        await watch.wait_for_event(RelationChanged, lambda e: e.change.type is RelationType.APPLICATIONS_READ)


async def test_a_blocked_sender_is_refused_20007_and_is_no_longer_a_friend(server: RunningServer) -> None:
    async with server.client("a5") as alice, server.client("b5") as bob:
        at_bob = EventRecorder(bob)
        await befriend(alice, bob)
        await bob.friends.block("a5")
        await at_bob.wait_for_message(lambda m: isinstance(m[0], RelationElem) and m[0].type is RelationType.BLACKLIST_ADDED)
        assert await bob.friends.blacklist() == ("a5",)
        assert (await names(alice), await names(bob)) == ([], [])
        for refused in (alice.c2c("b5").send, alice.c2c("b5").send_online):
            with pytest.raises(timim.Blacklisted) as blocked:
                await refused("hello?")
            assert blocked.value.code == 20007
        await bob.c2c("a5").send("the other way it goes")
        with pytest.raises(timim.Blacklisted) as theirs:
            await alice.friends.add("b5")
        with pytest.raises(timim.Blacklisted) as mine:
            await bob.friends.add("a5")
        assert (theirs.value.code, mine.value.code) == (30525, 30515)
        await bob.friends.unblock("a5")
        assert await bob.friends.blacklist() == ()
        assert (await alice.c2c("b5").send("again")).seq == 2  # the refused messages took no seq


async def test_every_limit_of_friends_is_a_named_exception(server: RunningServer) -> None:
    async with server.client("a6") as alice:
        await server.add_users("p1", "p2", "p3", "p4")
        for name in ("p1", "p2", "p3"):
            async with server.client(name) as friend:
                await befriend(alice, friend)
        async with server.client("p4") as one_more:
            await one_more.friends.add("a6")
            with pytest.raises(timim.LimitReached) as mine:
                await alice.friends.accept("p4")
            await one_more.profile.set(allow=AllowType.ANY)
            with pytest.raises(timim.LimitReached) as also_mine:
                await alice.friends.add("p4")
            await alice.profile.set(allow=AllowType.ANY)
            with pytest.raises(timim.LimitReached) as theirs:
                await one_more.friends.add("a6", both=True)
        assert (mine.value.code, also_mine.value.code, theirs.value.code) == (30010, 30010, 30014)
        cases: list[tuple[int, type[timim.TimimError], Callable[[], Awaitable[object]]]] = [
            (20003, timim.UnknownUser, lambda: alice.friends.add("nobody")),
            (30001, timim.InvalidArgument, lambda: alice.friends.add("a6")),
            (30001, timim.InvalidArgument, lambda: alice.friends.add("p1", wording="x" * 257)),
            (30001, timim.InvalidArgument, lambda: alice.friends.set_remark("p1", "x" * 97)),
            (30001, timim.InvalidArgument, lambda: alice.friends.block("a6")),
            (30011, timim.LimitReached, lambda: alice.friends.set_groups("p1", [str(n) for n in range(33)])),
            (31704, timim.NotFriends, lambda: alice.friends.set_remark("p4", "x")),
        ]
        for code, kind, refused in cases:
            with pytest.raises(kind) as raised:
                await refused()
            assert raised.value.code == code, raised.value


async def test_the_code_of_a_refused_stranger_says_which_side_is_not_a_friend() -> None:
    async with (
        running_server(friends_only=True) as server,
        server.client("alice") as alice,
        server.client("bob") as bob,
    ):

        async def refusal() -> int:
            with pytest.raises(timim.NotFriends) as refused:
                await alice.c2c("bob").send("hello?")
            return refused.value.code

        codes = [await refusal()]
        await alice.friends.add("bob")
        await bob.friends.accept("alice", add_back=False)
        codes.append(await refusal())
        await bob.profile.set(allow=AllowType.ANY)
        assert await bob.friends.add("alice")
        await alice.c2c("bob").send("hello")
        await alice.friends.delete("bob")
        codes.append(await refusal())
        assert codes == [20009, 20010, 20011]


async def test_friends_survive_a_restart() -> None:
    async with running_server() as server:
        async with server.client("alice") as alice, server.client("bob") as bob, server.client("eve") as eve:
            await befriend(alice, bob)
            await alice.friends.set_groups("bob", ["x"])
            await alice.friends.block("eve")
            await eve.friends.add("bob", wording="psst")
        await server.crash()
        await server.start()
        async with server.client("alice") as alice, server.client("bob") as bob, server.client("eve") as eve:
            assert await names(alice) == ["bob"]
            assert await alice.friends.groups() == {"x": ("bob",)}
            assert [one.wording for one in await bob.friends.applications()] == ["psst"]
            with pytest.raises(timim.Blacklisted):
                await eve.c2c("alice").send("hello?")

"""Tests of profiles against a real server: changes, versions, and the sender's profile that is stored with each message."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

import timim
from timim import AllowType, ProfileChanged, SenderProfile
from timim.protocol import profiles as wire
from timim.testing import EventRecorder, RunningServer, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[RunningServer]:
    async with running_server() as running:
        yield running


async def test_a_profile_change_is_seen_by_others_and_an_empty_text_removes_a_field(server: RunningServer) -> None:
    async with server.client("a1") as alice, server.client("b1") as bob:
        await alice.profile.set(nickname="爱丽丝", face_url="http://x/a.png", custom={"job": "chef", "dog": "Rex"})
        await alice.profile.set(details={"SelfSignature": "hello"}, allow=AllowType.ANY, custom={"dog": ""})
        profile = (await bob.profiles.get(["a1"]))["a1"]
        assert (profile.nickname, profile.face_url, profile.allow) == ("爱丽丝", "http://x/a.png", AllowType.ANY)
        assert (profile.custom, profile.details) == ({"job": "chef"}, {"SelfSignature": "hello"})
        assert await alice.profile.get() == profile
        await alice.profile.set(nickname="")
        assert (await bob.profiles.get(["a1", "b1"]))["a1"].nickname == ""


async def test_an_unchanged_profile_is_not_sent_again(server: RunningServer) -> None:
    async with server.client("a2") as alice, server.client("b2") as bob:
        await alice.profile.set(nickname="A")
        assert bob.profiles.cached("a2") is None
        first = (await bob.profiles.get(["a2"]))["a2"]
        link = bob.engine.connection.link()
        asked = wire.GetProfilesRequest(accounts=["a2"], versions=[first.version])
        (same,) = (await link.call(wire.GET_PROFILES, asked, timeout_s=5)).users
        assert (same.items, same.version) == ([], first.version)
        assert (await bob.profiles.get(["a2"]))["a2"] is first is bob.profiles.cached("a2")
        await alice.profile.set(nickname="A")  # no change, so the version stays
        assert (await bob.profiles.get(["a2"]))["a2"] is first
        await alice.profile.set(nickname="B")
        again = (await bob.profiles.get(["a2"]))["a2"]
        assert (again.nickname, again.version) == ("B", first.version + 1)


async def test_friends_and_own_devices_are_notified_of_a_new_profile(server: RunningServer) -> None:
    async with server.client("a3") as alice, server.client("a3") as other, server.client("b3") as bob:
        at_other, at_bob = EventRecorder(other, ProfileChanged), EventRecorder(bob, ProfileChanged)
        await alice.profile.set(allow=AllowType.ANY)
        await bob.friends.add("a3")
        await bob.profiles.get(["a3"])
        await alice.profile.set(nickname="new", custom={"k": "v"})
        for watch in (at_other, at_bob):
            told = await watch.wait_for_event(ProfileChanged, lambda e: "Tag_Profile_IM_Nick" in e.fields)
            assert (told.user_id, told.fields["Tag_Profile_IM_Nick"]) == ("a3", "new")
        known = bob.profiles.cached("a3")
        assert known is not None
        assert (known.nickname, known.custom, known.allow) == ("new", {"k": "v"}, AllowType.ANY)


@pytest.mark.requirement("F22")
async def test_a_message_keeps_the_profile_of_its_time_and_the_sender_cannot_forge_it(server: RunningServer) -> None:
    async with server.client("a4") as alice, server.client("b4") as bob:
        watch = EventRecorder(bob)
        await alice.profile.set(nickname="before", face_url="http://x/1", custom={"k": "1"})
        await alice.c2c("b4").send("one")
        await alice.profile.set(nickname="after", face_url="http://x/2", custom={"k": "2"})
        await alice.c2c("b4").send("two")
        one, two = await watch.wait_for_messages(2)
        assert one.sender_profile == SenderProfile("a4", "before", "http://x/1", {"k": "1"})
        assert two.sender_profile == SenderProfile("a4", "after", "http://x/2", {"k": "2"})
    async with server.client("b4") as fresh:
        page = await fresh.c2c("a4").get_messages(2)
        assert [m.sender_profile for m in page] == [two.sender_profile, one.sender_profile]


async def test_every_code_of_profiles_is_a_named_exception(server: RunningServer) -> None:
    async with server.client("a5") as alice:
        with pytest.raises(timim.UnknownUser) as nobody:
            await alice.profiles.get(["a5", "nobody"])
        assert nobody.value.code == 20003
        link = alice.engine.connection.link()
        many = wire.GetProfilesRequest(accounts=["a5"] * 101)
        other = wire.SetProfileRequest(account="b1", items=[wire.ProfileItem(tag=wire.NICK, value="x")])
        with pytest.raises(timim.InvalidArgument):
            await link.call(wire.GET_PROFILES, many, timeout_s=5)
        with pytest.raises(timim.NoPermission) as not_mine:
            await link.call(wire.SET_PROFILE, other, timeout_s=5)
        assert not_mine.value.code == 90009
        for wrong in ({"x" * 9: "v"}, {"k": "x" * 501}, {str(n): "v" for n in range(21)}):
            with pytest.raises(timim.InvalidArgument) as refused:
                await alice.profile.set(nickname="never", custom=wrong)
            assert refused.value.code == 40001
        with pytest.raises(timim.InvalidArgument):
            await alice.profile.set(details={"Shoesize": "43"})
        assert (await alice.profile.get()).nickname == ""  # a refused change has no effect

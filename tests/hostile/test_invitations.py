"""Tests of who may add a user to a group: nobody whom the user has blocked, and nobody unasked if the user demands it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from tests.support.program_server import server_of
from timim import AllowType, Blacklisted, GroupNoticeReceived, NoPermission, NoSuchApplication, NotAMember
from timim.elem_base import GroupNoticeType
from timim.testing import EventRecorder, RunningServer

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.requirement("H11")]
MUTANT = ("-m", "tests.mutants.adds_anybody")
Check = Callable[[RunningServer], Awaitable[None]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServer]:
    async with server_of((), tmp_path_factory.mktemp("server"), settings={}, users=("carol", "dave")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mutant(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServer]:
    async with server_of(MUTANT, tmp_path_factory.mktemp("mutant"), settings={}, users=("carol", "dave")) as running:
        yield running


async def check_blocked(server: RunningServer) -> None:
    """Check that a blocked user adds the one who blocked to no group: neither to a new one nor to an old one."""
    async with server.client("bob") as bob, server.client("mallory") as mallory:
        await bob.friends.block("mallory")
        for type in ("Work", "Public", "Meeting"):
            with pytest.raises(Blacklisted) as refused:
                await mallory.groups.create(type, name="trap", members=["bob", "carol"])
            assert refused.value.code == 20007
        group = await mallory.groups.create("Work", name="trap")
        with pytest.raises(Blacklisted):
            await group.invite("bob", "carol")
        assert {member.user_id async for member in group.members()} == {"mallory", "carol"}
        assert await bob.groups.joined() == []
        await bob.friends.unblock("mallory")
        assert await group.invite("bob") == {"bob": True}


async def check_asked(server: RunningServer) -> None:
    """Check that a user who demands it is asked, and is a member only after accepting."""
    async with server.client("erin") as erin, server.client("frank") as frank:
        await erin.profile.set(group_invites=AllowType.CONFIRM)
        assert (await frank.profiles.get("erin"))["erin"].group_invites is AllowType.CONFIRM
        notices = EventRecorder(erin, GroupNoticeReceived)
        made = await frank.groups.create("Work", name="new", members=["erin", "carol"])
        asked = await notices.wait_for_event(GroupNoticeReceived)
        assert (asked.group_id, asked.notice.type) == (made.id, GroupNoticeType.INVITE_REQUESTED)
        assert list(asked.notice.users) == ["erin"]
        assert {member.user_id async for member in made.members()} == {"frank", "carol"}
        with pytest.raises(NotAMember):
            await erin.group(made.id).send("not yet")
        with pytest.raises(NoPermission):  # the one who invites does not answer for the one who is asked
            await made.accept_invitation("erin")
        await erin.groups.of(made.id).accept_invitation("erin")
        await erin.group(made.id).send("here I am")

        other = await frank.groups.create("Work", name="another")
        assert await other.invite("erin", "carol") == {"erin": False, "carol": True}
        await erin.groups.of(other.id).refuse_invitation("erin")
        with pytest.raises(NoSuchApplication):
            await erin.groups.of(other.id).accept_invitation("erin")
        assert [group.id for group in await erin.groups.joined()] == [made.id]
        await erin.profile.set(group_invites=AllowType.ANY)
        assert await other.invite("erin") == {"erin": True}


@pytest.mark.parametrize("check", [check_blocked, check_asked])
async def test_a_user_decides_who_adds_to_groups(server: RunningServer, check: Check) -> None:
    await check(server)


@pytest.mark.parametrize("check", [check_blocked, check_asked])
async def test_a_server_that_adds_anybody_is_detected(mutant: RunningServer, check: Check) -> None:
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        await check(mutant)


async def test_a_demand_to_be_asked_survives_a_restart_with_its_invitations(server: RunningServer) -> None:
    async with server.client("gina") as gina, server.client("frank") as frank:
        await gina.profile.set(group_invites=AllowType.CONFIRM)
        group = await frank.groups.create("Public", name="team", members=["gina"])
    await server.restart()
    async with server.client("gina") as gina:
        await gina.groups.of(group.id).accept_invitation("gina")
        assert [joined.id for joined in await gina.groups.joined()] == [group.id]


async def test_an_admins_approval_does_not_replace_the_users_own(server: RunningServer) -> None:
    """Test a group in which members ask the admins to invite: the user is asked after the admin."""
    async with server.client("hal") as hal, server.client("ivy") as ivy, server.client("jack") as jack:
        await jack.profile.set(group_invites=AllowType.CONFIRM)
        group = await hal.groups.create("Public", name="team", members=["ivy"])
        assert await ivy.groups.of(group.id).invite("jack") == {"jack": False}
        await hal.groups.of(group.id).accept_invitation("jack")
        assert await jack.groups.joined() == []
        await jack.groups.of(group.id).accept_invitation("jack")
        assert [joined.id for joined in await jack.groups.joined()] == [group.id]

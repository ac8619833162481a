"""Tests of the time in which an account gets no offline pushes, on two devices."""

from __future__ import annotations

import pytest

from tests.support.users import Users
from timim import DoNotDisturb, DoNotDisturbChanged, InvalidArgument
from timim.testing import EventRecorder

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_another_device_sees_the_time_without_pushes(users: Users) -> None:
    me, phone = await users.login("me"), await users.login("me")
    heard, own = EventRecorder(phone, DoNotDisturbChanged), EventRecorder(me, DoNotDisturbChanged)
    assert await me.profile.do_not_disturb() is None
    night = DoNotDisturb(1_000_000, 1_028_800)
    await me.profile.set_do_not_disturb(night)
    await heard.wait_for_event(DoNotDisturbChanged, lambda e: e.quiet == night)
    assert await phone.profile.do_not_disturb() == night
    await me.profile.set_do_not_disturb(None)
    await heard.wait_for_event(DoNotDisturbChanged, lambda e: e.quiet is None)
    assert await phone.profile.do_not_disturb() is None
    assert own.events == []


async def test_a_time_that_never_begins_or_lasts_longer_than_a_day_is_refused(users: Users) -> None:
    me = await users.login("me")
    for wrong in (
        DoNotDisturb(10, 9),
        DoNotDisturb(-1, 9),
        DoNotDisturb(0, 2**70),
        DoNotDisturb(10, 9, daily=False),
        DoNotDisturb(0, 86_401),
    ):
        with pytest.raises(InvalidArgument):
            await me.profile.set_do_not_disturb(wrong)
    await me.profile.set_do_not_disturb(DoNotDisturb(0, 1_000_000, daily=False))
    assert await me.profile.do_not_disturb() == DoNotDisturb(0, 1_000_000, daily=False)

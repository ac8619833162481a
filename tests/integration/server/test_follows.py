"""Tests of followed users: lists, numbers, ties and events at both users."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.rest import RestClient
from tests.support.users import Users
from timim import FollowCounts, FollowList, FollowsChanged, InvalidArgument, UnknownUser
from timim.testing import EventRecorder, RunningServer

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def rest(shared_server: RunningServer) -> AsyncIterator[RestClient]:
    async with RestClient(shared_server) as client:
        yield client


async def test_both_users_see_each_change_of_their_lists(users: Users) -> None:
    me, other = await users.login("me"), await users.login("other")
    mine, theirs = EventRecorder(me, FollowsChanged), EventRecorder(other, FollowsChanged)
    my_id, other_id = users.id("me"), users.id("other")
    await me.follows.add(other_id)
    await me.follows.add(other_id)
    assert await mine.wait_for_event(FollowsChanged) == FollowsChanged(other_id, FollowList.FOLLOWING, True)
    assert await theirs.wait_for_event(FollowsChanged) == FollowsChanged(my_id, FollowList.FOLLOWERS, True)
    assert await me.follows.check([other_id]) == {other_id: FollowList.FOLLOWING}
    await other.follows.add(my_id)
    await mine.wait_for_event(FollowsChanged, lambda e: e == FollowsChanged(other_id, FollowList.MUTUAL, True))
    await theirs.wait_for_event(FollowsChanged, lambda e: e == FollowsChanged(my_id, FollowList.MUTUAL, True))
    assert await me.follows.check([other_id]) == {other_id: FollowList.MUTUAL}
    assert await me.follows.counts(my_id) == FollowCounts(1, 1, 1)
    await me.follows.remove(other_id)
    await theirs.wait_for_event(FollowsChanged, lambda e: e == FollowsChanged(my_id, FollowList.MUTUAL, False))
    assert await me.follows.check([other_id]) == {other_id: FollowList.FOLLOWERS}
    assert [await me.follows.list(list) for list in (FollowList.FOLLOWERS, FollowList.FOLLOWING)] == [(other_id,), ()]
    assert await other.follows.counts(other_id) == FollowCounts(0, 1, 0)


async def test_nobody_follows_strangers_or_themselves(users: Users) -> None:
    me = await users.login("me")
    with pytest.raises(UnknownUser):
        await me.follows.add("nobody at all")
    with pytest.raises(InvalidArgument):
        await me.follows.add(users.id("me"))
    assert await me.follows.counts(users.id("me")) == FollowCounts(0, 0, 0)


async def test_a_deleted_account_follows_nobody_and_has_no_followers(rest: RestClient, users: Users) -> None:
    me, other = await users.login("me"), await users.login("other")
    await me.follows.add(users.id("other"))
    await other.follows.add(users.id("me"))
    await rest.done("im_open_login_svc/account_delete", {"DeleteItem": [{"UserID": users.id("other")}]})
    assert await me.follows.counts(users.id("me")) == FollowCounts(0, 0, 0)

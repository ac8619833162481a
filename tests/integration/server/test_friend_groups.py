"""Tests of the names of friend groups, and of checks who has whom as a friend."""

from __future__ import annotations

import pytest

from tests.support.users import Users
from timim import AllowType, FriendRelation, InvalidArgument, RelationChanged, RelationType, UnknownUser
from timim.testing import EventRecorder

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_renamed_friend_group_keeps_its_friends(users: Users) -> None:
    me, other = await users.login("me"), await users.login("friend")
    await other.profile.set(allow=AllowType.ANY)
    heard = EventRecorder(me, RelationChanged)
    friend = users.id("friend")
    await me.friends.add(friend, group="school")
    await me.friends.add_group("work")
    await me.friends.rename_group("school", "university")
    assert await me.friends.groups() == {"university": (friend,), "work": ()}
    assert [one.groups for one in await me.friends.list()] == [("university",)]
    await heard.wait_for_event(RelationChanged, lambda e: e.change.type is RelationType.FRIEND_CHANGED)
    for old, new in (("nothing", "x"), ("work", "university"), ("work", "x" * 31)):
        with pytest.raises(InvalidArgument):
            await me.friends.rename_group(old, new)


async def test_a_check_says_who_has_whom_as_a_friend(users: Users) -> None:
    names = ("mutual", "mine", "theirs", "none")
    mutual, mine, theirs, none = (users.id(name) for name in names)
    me, *others = [await users.login(name) for name in ("me", *names)]
    for client in (me, *others):
        await client.profile.set(allow=AllowType.ANY)
    other = others[2]
    await me.friends.add(mutual)
    await me.friends.add(mine, both=False)
    await other.friends.add(users.id("me"), both=False)
    found = await me.friends.check([mutual, mine, theirs, none])
    wanted = (FriendRelation.MUTUAL, FriendRelation.MINE, FriendRelation.THEIRS, FriendRelation.NONE)
    assert found == dict(zip((mutual, mine, theirs, none), wanted, strict=True))
    with pytest.raises(UnknownUser):
        await me.friends.check(["nobody at all"])

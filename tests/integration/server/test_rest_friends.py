"""Tests of relationships over REST: checks of friends and blacklists, some friends, the end of all friendships."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.rest import RestClient
from tests.support.users import Users
from timim.testing import RunningServer

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def rest(shared_server: RunningServer) -> AsyncIterator[RestClient]:
    async with RestClient(shared_server) as client:
        yield client


async def circle(rest: RestClient, users: Users) -> tuple[str, str, str, str]:
    """Return alice, who has bob both ways and carol one way, and dave, who has alice one way."""
    names = alice, bob, carol, dave = [users.id(name) for name in ("alice", "bob", "carol", "dave")]
    await rest.done("im_open_login_svc/multiaccount_import", {"Accounts": names})
    for account, friend, kind in ((alice, bob, "Both"), (alice, carol, "Single"), (dave, alice, "Single")):
        item = {"To_Account": friend, "AddSource": "AddSource_Type_test", "Remark": "r"}
        body = {"From_Account": account, "AddFriendItem": [item], "AddType": f"Add_Type_{kind}", "ForceAddFlags": 1}
        await rest.done("sns/friend_add", body)
    return alice, bob, carol, dave


async def relations(rest: RestClient, account: str, users: list[str], kind: str, *, black: bool = False) -> list[str]:
    prefix = "BlackCheckResult_Type_" if black else "CheckResult_Type_"
    body = {"From_Account": account, "To_Account": users, "CheckType": prefix + kind}
    reply = await rest.done("sns/black_list_check" if black else "sns/friend_check", body)
    items = reply["BlackListCheckItem" if black else "InfoItem"]
    assert [item["To_Account"] for item in items] == users
    assert reply["Fail_Account"] == [item["To_Account"] for item in items if item["ResultCode"]]
    return [item["Relation"].removeprefix(prefix) or str(item["ResultCode"]) for item in items]


async def test_a_check_names_the_direction_of_a_friendship(rest: RestClient, users: Users) -> None:
    alice, *others = await circle(rest, users)
    others += ["nobody", "administrator"]
    assert await relations(rest, alice, others, "Both") == ["BothWay", "AWithB", "BWithA", "20003", "NoRelation"]
    assert await relations(rest, alice, others, "Single") == ["AWithB", "AWithB", "NoRelation", "20003", "NoRelation"]
    refused = await rest.call("sns/friend_check", {"From_Account": alice, "To_Account": others, "CheckType": "Both"})
    assert refused["ErrorCode"] == 30001


async def test_a_check_names_the_direction_of_a_block(rest: RestClient, users: Users) -> None:
    alice, bob, carol, dave = await circle(rest, users)
    for account, other in ((alice, bob), (bob, alice), (alice, carol), (dave, alice)):
        await rest.done("sns/black_list_add", {"From_Account": account, "To_Account": [other]})
    others = [bob, carol, dave, "administrator"]
    assert await relations(rest, alice, others, "Both", black=True) == ["BothWay", "AWithB", "BWithA", "NO"]
    assert await relations(rest, alice, others, "Single", black=True) == ["AWithB", "AWithB", "NO", "NO"]


async def test_some_friends_have_the_tags_that_are_asked_for(rest: RestClient, users: Users) -> None:
    alice, bob, _, dave = await circle(rest, users)
    body = {"From_Account": alice, "To_Account": [bob, dave], "TagList": ["Tag_SNS_IM_Remark", "Tag_Profile_IM_AllowType"]}
    reply = await rest.done("sns/friend_get_list", body)
    friend, stranger = reply["InfoItem"]
    assert {item["Tag"]: item["Value"] for item in friend["SnsProfileItem"]} == {
        "Tag_SNS_IM_Remark": "r",
        "Tag_Profile_IM_AllowType": "AllowType_Type_NeedConfirm",
    }
    assert (friend["ResultCode"], stranger["ResultCode"], reply["Fail_Account"]) == (0, 31704, [dave])


@pytest.mark.parametrize("kind, left", [("Single", "BWithA"), ("Both", "NoRelation")])
async def test_all_friendships_end_on_one_side_or_both(rest: RestClient, users: Users, kind: str, left: str) -> None:
    alice, bob, carol, _ = await circle(rest, users)
    await rest.done("sns/friend_delete_all", {"From_Account": alice, "DeleteType": f"Delete_Type_{kind}"})
    assert await relations(rest, alice, [bob, carol], "Both") == [left, "NoRelation"]


async def test_imported_friends_keep_their_time_and_are_in_one_list(rest: RestClient, users: Users) -> None:
    alice, bob = await users.login("alice"), await users.login("bob")
    friend = {
        "To_Account": users.id("bob"),
        "Remark": "old friend",
        "GroupName": ["school", "work"],
        "AddSource": "AddSource_Type_test",
        "AddTime": 1_000_000_000,
    }
    body = {"From_Account": users.id("alice"), "AddFriendItem": [friend, {"To_Account": "nobody"}]}
    for _ in range(2):
        reply = await rest.done("sns/friend_import", body)
        assert [item["ResultCode"] for item in reply["ResultItem"]] == [0, 20003]
        assert reply["Fail_Account"] == ["nobody"]
    (known,) = await alice.friends.list()
    assert (known.user_id, known.remark, known.added, list(known.groups)) == (
        users.id("bob"),
        "old friend",
        1_000_000_000,
        ["school", "work"],
    )
    assert not await bob.friends.list()
    later = {"To_Account": users.id("alice"), "AddTime": 1 << 40}
    refused = await rest.done("sns/friend_import", {"From_Account": users.id("bob"), "AddFriendItem": [later]})
    assert refused["ResultItem"][0]["ResultCode"] == 30001
    many = {"From_Account": users.id("bob"), "AddFriendItem": [{"To_Account": f"u{number}"} for number in range(1001)]}
    assert (await rest.call("sns/friend_import", many))["ErrorCode"] == 30001

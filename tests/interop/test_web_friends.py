"""Tests of friends, friend groups, applications and the blacklist between Tencent's web client and timim's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.interop.webclient import WebClient, web_client
from timim import AllowType, FollowList, FollowsChanged, RelationChanged, RelationType
from timim.testing import EventRecorder, RunningServer, running_server

pytestmark = pytest.mark.judge


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RunningServer]:
    async with running_server(data_dir=tmp_path / "server") as running:
        await running.add_users("bob", "carol")
        yield running


@pytest.fixture
async def alice(server: RunningServer) -> AsyncIterator[WebClient]:
    async with web_client(server, "alice") as web:
        await web.login()
        yield web


async def test_friends_and_their_groups_are_kept_on_the_web(server: RunningServer, alice: WebClient) -> None:
    own, bob = server.client("alice"), server.client("bob")
    heard = EventRecorder(bob, RelationChanged)
    async with own, bob, server.client("carol") as carol:
        for client in (bob, carol):
            await client.profile.set(allow=AllowType.ANY)
        added = {"to": "bob", "source": "AddSource_Type_Web", "remark": "Bobby", "groupName": "school", "type": "Add_Type_Both"}
        await alice.call("addFriend", added)
        await alice.told("onFriendListUpdated", lambda friends: "Bobby" in str(friends))
        await heard.wait_for_event(RelationChanged, lambda e: e.change.type is RelationType.FRIEND_ADDED)
        assert await own.friends.groups() == {"school": ("bob",)}
        await alice.call("addFriend", {"to": "carol", "source": "AddSource_Type_Web", "type": "Add_Type_Both"})
        query = {"userIDList": ["bob", "carol", "nobody"], "type": "CheckResult_Type_Both"}
        checked = await alice.call("checkFriend", query)
        assert [one["relation"] for one in checked["successUserIDList"]] == ["CheckResult_Type_BothWay"] * 2
        assert [one["userID"] for one in checked["failureUserIDList"]] == ["nobody"]
        shown = (await alice.call("getFriendProfile", {"userIDList": ["bob"]}))["friendList"]
        assert [(one["userID"], one["remark"], one["groupList"]) for one in shown] == [("bob", "Bobby", ["school"])]
        await alice.call("updateFriend", {"userID": "bob", "remark": "Robert"})
        await alice.call("createFriendGroup", {"name": "work", "userIDList": ["carol"]})
        await alice.call("addToFriendGroup", {"name": "work", "userIDList": ["bob"]})
        await alice.call("removeFromFriendGroup", {"name": "work", "userIDList": ["carol"]})
        await alice.call("renameFriendGroup", {"oldName": "work", "newName": "office"})
        assert await own.friends.groups() == {"school": ("bob",), "office": ("bob",)}
        assert {f.user_id: f.remark for f in await own.friends.list()} == {"bob": "Robert", "carol": ""}
        listed = await alice.call("getFriendGroupList")
        assert {one["name"]: one["userIDList"] for one in listed} == {"office": ["bob"]}  # those that it knows
        await alice.call("deleteFriendGroup", {"name": "office"})
        assert await own.friends.groups() == {"school": ("bob",)}
        assert sorted(f["userID"] for f in await alice.call("getFriendList")) == ["bob", "carol"]
        await alice.call("deleteFriend", {"userIDList": ["carol"], "type": "Delete_Type_Both"})
        assert [f.user_id for f in await own.friends.list()] == ["bob"]
        await alice.call("addToBlacklist", {"userIDList": ["carol"]})
        assert await own.friends.blacklist() == ("carol",)
        assert await alice.call("getBlacklist") == ["carol"]
        await alice.call("removeFromBlacklist", {"userIDList": ["carol"]})
        assert await own.friends.blacklist() == ()
    assert not [e for e in alice.events if e["event"] in ("unhandledRejection", "error")]


async def test_applications_of_both_directions_are_handled_on_the_web(server: RunningServer, alice: WebClient) -> None:
    bob, carol = server.client("bob"), server.client("carol")
    heard = EventRecorder(bob, RelationChanged)
    async with bob, carol, server.client("alice") as own:
        asked = {"to": "bob", "source": "AddSource_Type_Web", "wording": "hi bob", "type": "Add_Type_Both"}
        await alice.call("addFriend", asked)
        await heard.wait_for_event(RelationChanged, lambda e: e.change.type is RelationType.APPLICATION_ADDED)
        await carol.friends.add("alice", wording="hi alice")
        await alice.told("onFriendApplicationListUpdated", lambda data: data["unreadCount"] == 1)
        shown = (await alice.call("getFriendApplicationList"))["friendApplicationList"]
        assert sorted((one["userID"], one["wording"], one["type"]) for one in shown) == [
            ("bob", "hi bob", "Pendency_Type_SendOut"),
            ("carol", "hi alice", "Pendency_Type_ComeIn"),
        ]
        await alice.call("setFriendApplicationRead")
        await alice.told("onFriendApplicationListUpdated", lambda data: data["unreadCount"] == 0)
        await alice.call("deleteFriendApplication", {"userID": "bob", "type": "Pendency_Type_SendOut"})
        assert await bob.friends.applications() == ()
        await alice.call("refuseFriendApplication", {"userID": "carol"})
        assert await carol.friends.applications(sent=True) == ()
        await carol.friends.add("alice", wording="please")
        await alice.told("onFriendApplicationListUpdated", lambda data: "please" in str(data))
        await alice.call("acceptFriendApplication", {"userID": "carol", "remark": "C", "type": "Response_Action_AgreeAndAdd"})
        assert [(f.user_id, f.remark) for f in await own.friends.list()] == [("carol", "C")]


async def test_follows_pass_both_ways(server: RunningServer, alice: WebClient) -> None:
    bob = server.client("bob")
    heard = EventRecorder(bob, FollowsChanged)
    async with bob:
        await bob.profile.set(nickname="Bob")
        (result,) = await alice.call("followUser", ["bob"])
        assert (result["userID"], result["resultCode"]) == ("bob", 0)
        assert await heard.wait_for_event(FollowsChanged) == FollowsChanged("alice", FollowList.FOLLOWERS, True)
        await bob.follows.add("alice")
        shown = await alice.told("onMyFollowersListUpdated")
        assert (shown["isAdd"], [user["userID"] for user in shown["userInfoList"]]) == (True, ["bob"])
        await alice.told("onMutualFollowersListUpdated", lambda data: data["isAdd"])
        for method in ("getMyFollowersList", "getMyFollowingList", "getMutualFollowersList"):
            listed = (await alice.call(method))["resultList"]
            assert [(user["userID"], user["nick"]) for user in listed] == [("bob", "Bob")]
        assert await alice.call("getUserFollowInfo", ["bob"]) == [
            {"followersCount": 1, "followingCount": 1, "mutualFollowersCount": 1}
        ]
        assert await alice.call("checkFollowType", ["bob"]) == [{"userID": "bob", "followType": 3}]
        await alice.call("unfollowUser", ["bob"])
        await heard.wait_for_event(FollowsChanged, lambda e: e == FollowsChanged("alice", FollowList.FOLLOWERS, False))
        await bob.follows.remove("alice")
        await alice.told("onMyFollowersListUpdated", lambda data: not data["isAdd"] and data["userInfoList"] == ["bob"])

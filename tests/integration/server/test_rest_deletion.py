"""Tests of the deletion of accounts over REST, as other users' clients see it, and of an account with the same id after it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import pytest
import pytest_asyncio

from tests.support.rest import RestClient
from tests.support.users import Users
from timim import GroupChanged, GroupTipType, KickedOut, RelationChanged, RelationType, UnknownUser
from timim.server.handlers import registry
from timim.server.store.accounts import AccountStore
from timim.server.store.entities import StoredAccount
from timim.server.store.mutations import StaleRead
from timim.testing import EventRecorder, RunningServer
from timim.testing.in_process import local_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

IMPORT = "im_open_login_svc/multiaccount_import"
DELETE, CHECK = "im_open_login_svc/account_delete", "im_open_login_svc/account_check"
GROUPS = "group_open_http_svc/"


@pytest_asyncio.fixture(loop_scope="module")
async def rest(shared_server: RunningServer) -> AsyncIterator[RestClient]:
    async with RestClient(shared_server) as client:
        yield client


async def delete(rest: RestClient, *users: str) -> list[int]:
    """Delete accounts, and return their codes."""
    reply = await rest.done(DELETE, {"DeleteItem": [{"UserID": user} for user in users]})
    assert [one["UserID"] for one in reply["ResultItem"]] == list(users)
    return [one["ResultCode"] for one in reply["ResultItem"]]


def has_quit(group_id: str, event: GroupChanged) -> bool:
    return event.group_id == group_id and event.tip.type == GroupTipType.QUIT


async def test_a_deleted_account_leaves_its_friends_its_groups_and_its_devices(rest: RestClient, users: Users) -> None:
    gone, peer = await users.login("gone"), await users.login("peer")
    me, other = users.id("gone"), users.id("peer")
    added = {"From_Account": me, "AddFriendItem": [{"To_Account": other, "AddSource": "AddSource_Type_x"}]}
    await rest.done("sns/friend_add", added | {"AddType": "Add_Type_Both", "ForceAddFlags": 1})
    owned = await gone.groups.create("Public", name="own", members=[other])
    group = await peer.groups.create("Public", name="other", members=[me])
    await peer.c2c(me).send("stays")
    kicked, told = EventRecorder(gone, KickedOut), EventRecorder(peer, RelationChanged, GroupChanged)
    assert await delete(rest, me, "nobody", "administrator") == [0, 70107, 71000]
    await kicked.wait_for_event(KickedOut)
    await told.wait_for_event(RelationChanged, lambda e: e.change.type == RelationType.FRIEND_DELETED and me in e.change.users)
    for one in (group, owned):
        await told.wait_for_event(GroupChanged, partial(has_quit, one.id))
    assert await peer.friends.list() == ()
    for one, owner in ((owned, ""), (group, other)):
        info = await peer.groups.of(one.id).info()
        assert (info.owner, info.member_count) == (owner, 1)
    (checked,) = (await rest.done(CHECK, {"CheckItem": [{"UserID": me}]}))["ResultItem"]
    assert checked["AccountStatus"] == "NotImported"
    assert [m.text async for m in peer.c2c(me).history()] == ["stays"]
    with pytest.raises(UnknownUser):
        await peer.c2c(me).send("too late")
    assert await delete(rest, me) == [70107]


async def test_a_new_account_with_the_id_of_a_deleted_one_begins_empty(rest: RestClient, users: Users) -> None:
    gone, peer = await users.login("gone"), await users.login("peer")
    me, other = users.id("gone"), users.id("peer")
    await gone.profile.set(nickname="Old", details={"SelfSignature": "was here"})
    await gone.c2c(other).send("before")
    await peer.c2c(me).send("secret")
    await gone.friends.block(other)
    assert await delete(rest, me) == [0]
    await rest.done("im_open_login_svc/account_import", {"UserID": me, "Nick": "New"})
    profile = (await peer.profiles.get([me]))[me]
    assert (profile.nickname, dict(profile.details)) == ("New", {})
    await peer.c2c(me).send("after")
    pages = await rest.done("openim/admin_getroammsg", {"Operator_Account": me, "Peer_Account": other, "MaxCnt": 10})
    assert [one["MsgBody"][0]["MsgContent"]["Text"] for one in pages["MsgList"]] == ["after"]
    unread = await rest.done("openim/get_c2c_unread_msg_num", {"To_Account": me})
    assert unread["AllC2CUnreadMsgNum"] == 1
    assert (await rest.done("sns/black_list_get", {"From_Account": me, "StartIndex": 0, "MaxLimited": 10}))[
        "BlackListItem"
    ] == []


async def test_a_new_signature_of_a_deleted_account_logs_in_a_new_one(
    rest: RestClient, shared_server: RunningServer, users: Users
) -> None:
    me, other, peer = users.id("gone"), users.id("peer"), await users.login("peer")
    async with shared_server.client(me) as gone:
        await gone.c2c(other).send("before")
    group = await peer.groups.create("Public", name="g", members=[me])
    assert await delete(rest, me) == [0]
    shared_server.clock.set(2)  # signatures have seconds
    try:
        async with shared_server.client(me) as renewed:
            assert [conversation.peer for conversation in renewed.conversations] == []
            received = EventRecorder(renewed)
            await peer.c2c(me).send("welcome")
            await received.wait_for_message(lambda m: m.text == "welcome")
            assert [m.text async for m in renewed.c2c(other).history()] == ["welcome"]
            assert await renewed.groups.joined() == []
            await group.invite(me)
            assert [one.id for one in await renewed.groups.joined()] == [group.id]
    finally:
        shared_server.clock.set(0)


async def test_the_last_member_of_a_group_takes_it_along(rest: RestClient, users: Users) -> None:
    gone = await users.login("gone")
    group = await gone.groups.create("Work", name="alone")
    assert await delete(rest, users.id("gone")) == [0]
    (info,) = (await rest.done(GROUPS + "get_group_info", {"GroupIdList": [group.id]}))["GroupInfo"]
    assert info["ErrorCode"] == 10010


async def test_too_many_accounts_are_refused(rest: RestClient) -> None:
    for items, code in (([], 70402), ([{"UserID": f"u{n}"} for n in range(101)], 70398)):
        assert (await rest.call(DELETE, {"DeleteItem": items}))["ErrorCode"] == code


async def give_up(*_: object) -> None:
    raise StaleRead("decided once")


@pytest.mark.parametrize("decides_again", [True, False])
async def test_an_import_that_reads_an_account_before_its_deletion_decides_again(
    monkeypatch: pytest.MonkeyPatch, *, decides_again: bool
) -> None:
    """A read that began before a deletion returns the account of then. Without a second decision, it is an internal error."""
    ensure, found, old = AccountStore.ensure, list[StoredAccount](), list[StoredAccount]()

    async def read_late(store: AccountStore, user: str, *, nickname: str = "", face_url: str = "") -> StoredAccount:
        if old:
            return old.pop()
        found.append(await ensure(store, user, nickname=nickname, face_url=face_url))
        return found[-1]

    monkeypatch.setattr(AccountStore, "ensure", read_late)
    if not decides_again:
        monkeypatch.setattr(registry, "run_current", give_up)
    async with local_server() as server, RestClient(server) as rest:
        accounts = {"AccountList": [{"UserID": "bob", "Nick": "Bob"}]}
        await rest.done(IMPORT, accounts)
        assert await delete(rest, "bob") == [0]
        old.append(next(account for account in found if account.user_id == "bob"))
        imported = await rest.call(IMPORT, accounts)
        assert (imported["ErrorCode"] == 0) is decides_again, imported
        if decides_again:
            portrait = await rest.done("profile/portrait_get", {"To_Account": ["bob"], "TagList": ["Tag_Profile_IM_Nick"]})
            assert portrait["UserProfileItem"][0]["ProfileItem"] == [{"Tag": "Tag_Profile_IM_Nick", "Value": "Bob"}]

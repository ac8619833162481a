"""Tests of accounts over REST: importing, checking, ending logins, online status."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from websockets.asyncio.client import connect

import timim
from tests.support.raw_requests import RawRequests, raw_requests_of
from tests.support.rest import RestClient
from tests.support.users import Users
from timim.testing import RunningServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

IMPORT, CHECK, KICK = (f"im_open_login_svc/{name}" for name in ("account_import", "account_check", "kick"))


@pytest_asyncio.fixture(loop_scope="module")
async def rest(shared_server: RunningServer) -> AsyncIterator[RestClient]:
    async with RestClient(shared_server) as client:
        yield client


async def statuses(rest: RestClient, *users: str) -> list[str]:
    reply = await rest.done(CHECK, {"CheckItem": [{"UserID": user} for user in users]}, method="GET")
    assert [item["UserID"] for item in reply["ResultItem"]] == list(users)
    assert {item["ResultCode"] for item in reply["ResultItem"]} == {0}
    return [item["AccountStatus"] for item in reply["ResultItem"]]


@pytest.mark.parametrize("name", ["UserID", "Identifier"])
async def test_an_account_is_created_or_changed(rest: RestClient, users: Users, name: str) -> None:
    watcher = await users.login("watcher")
    user = users.id("new" + name)
    assert await statuses(rest, user) == ["NotImported"]
    await rest.done(IMPORT, {name: user, "Nick": "First", "FaceUrl": "https://example.com/1.png"})
    assert await statuses(rest, user) == ["Imported"]
    await rest.done(IMPORT, {name: user})
    profile = (await watcher.profiles.get([user]))[user]
    assert (profile.nickname, profile.face_url) == ("First", "https://example.com/1.png")
    await rest.done(IMPORT, {name: user, "Nick": "Second"})
    profile = (await watcher.profiles.get([user]))[user]
    assert (profile.nickname, profile.face_url) == ("Second", "https://example.com/1.png")
    await watcher.c2c(user).send("an imported account gets messages")


@pytest.mark.parametrize("body", [{}, {"UserID": ""}, {"UserID": "a" * 33}, {"UserID": 7}])
async def test_an_invalid_account_is_refused(rest: RestClient, body: dict[str, object]) -> None:
    assert (await rest.call(IMPORT, body))["ErrorCode"] == 70402


async def test_many_accounts_are_created_in_both_forms_and_bad_ones_named(rest: RestClient, users: Users) -> None:
    command, one, two = "im_open_login_svc/multiaccount_import", users.id("one"), users.id("two")
    reply = await rest.done(command, {"Accounts": [one, "x" * 33]})
    assert reply["FailAccounts"] == ["x" * 33]
    reply = await rest.done(command, {"AccountList": [{"UserID": two, "Nick": "Two"}]})
    assert reply["FailAccounts"] == []
    assert await statuses(rest, one, two, "x" * 33) == ["Imported", "Imported", "NotImported"]
    assert (await rest.call(command, {"Accounts": ["", "x" * 33]}))["ErrorCode"] == 70402
    assert (await rest.call(command, {"Accounts": []}))["ErrorCode"] == 70402
    assert (await rest.call(command, {"Accounts": [f"u{n}" for n in range(101)]}))["ErrorCode"] == 70398


async def test_a_kick_ends_logins_and_revokes_signatures(rest: RestClient, shared_server: RunningServer, users: Users) -> None:
    app_id, key, user = shared_server.app_id, shared_server.secret_key, users.id("kicked")
    before = timim.sign_user(app_id, key, user)
    async with raw_requests_of(shared_server.url, app_id=app_id, secret_key=key, user=user) as session:
        await rest.done(KICK, {"Identifier": user})
        await session.socket.wait_closed()
    async with connect(shared_server.url) as socket:
        reply = await RawRequests(socket).ask("im_open_status.wslogin", b"{}", identifier=user, usersig=before)
        assert reply["ErrorCode"] == 70052
    assert (await rest.call(KICK, {"UserID": "nobody"}))["ErrorCode"] == 70107


async def test_the_status_of_users_is_that_of_their_devices(
    rest: RestClient, users: Users, shared_server: RunningServer
) -> None:
    await users.login("online")
    online, offline = users.id("online"), users.id("offline")
    await rest.done(IMPORT, {"UserID": offline})
    body = {"To_Account": [online, offline, "nobody"], "IsNeedDetail": 1}
    for name in ("query_online_status", "querystate"):
        reply = await rest.done(f"openim/{name}", body)
        found = {item["To_Account"]: item for item in reply["QueryResult"]}
        assert {user: (item["Status"], item["State"]) for user, item in found.items()} == {
            online: ("Online", "Online"),
            offline: ("Offline", "Offline"),
        }
        assert reply["ErrorList"] == [{"To_Account": "nobody", "ErrorCode": 70107}]
        assert len(found[online]["Detail"]) == 1
        assert "Detail" not in found[offline]
    assert (await rest.call("openim/querystate", {"To_Account": []}))["ErrorCode"] == 90011


async def test_a_command_of_rest_alone_is_refused_on_the_websocket(shared_server: RunningServer) -> None:
    app_id, key = shared_server.app_id, shared_server.secret_key
    async with raw_requests_of(shared_server.url, app_id=app_id, secret_key=key, user="administrator") as session:
        assert (await session.ask("im_open_login_svc.account_import", {"UserID": "sneaked"}))["ErrorCode"] == 60009

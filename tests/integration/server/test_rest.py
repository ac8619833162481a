"""Tests of the REST endpoint: its callers, the order of its checks, its codes, and the commands of the websocket."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from random import Random
from typing import Any
from urllib.parse import urlencode

import pytest
import pytest_asyncio

import timim
from tests.support import request_fields as requests
from tests.support.raw_requests import raw_requests_of
from tests.support.rest import TEXT, RestClient
from tests.support.users import Users
from timim.protocol.codec import Door
from timim.server.endpoints import rest as endpoint
from timim.server.handlers import ALL_HANDLERS
from timim.testing import RunningServer, local_server, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_server() -> AsyncIterator[RunningServer]:
    async with running_server(admins=" backend, robot", max_frame_bytes=65536, open_metrics=True) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def rest(shared_server: RunningServer) -> AsyncIterator[RestClient]:
    async with RestClient(shared_server) as client:
        yield client


async def test_a_command_of_the_websocket_is_served_to_an_administrator(rest: RestClient, users: Users) -> None:
    alice = await users.login("alice")
    await rest.done(
        "profile/portrait_set",
        {"From_Account": users.id("alice"), "ProfileItem": [{"Tag": "Tag_Profile_IM_Nick", "Value": "Alice"}]},
    )
    shown = await rest.done(
        "profile/portrait_get", {"To_Account": [users.id("alice"), users.id("nobody")], "TagList": ["Tag_Profile_IM_Nick"]}
    )
    known, unknown = shown["UserProfileItem"]
    assert known["ProfileItem"] == [{"Tag": "Tag_Profile_IM_Nick", "Value": "Alice"}]
    assert (known["ResultCode"], known["ResultInfo"]) == (0, "")
    assert unknown["ResultCode"] == 20003
    assert shown["Fail_Account"] == [users.id("nobody")]
    assert shown["ErrorDisplay"] == ""
    assert (await alice.profiles.get([users.id("alice")]))[users.id("alice")].nickname == "Alice"


@pytest.mark.parametrize("admin", ["administrator", "backend", "robot"])
async def test_every_administrator_of_the_list_is_served(shared_server: RunningServer, admin: str) -> None:
    async with RestClient(shared_server, admin=admin) as client:
        await client.done("profile/portrait_get", {"To_Account": [admin], "TagList": ["Tag_Profile_IM_Nick"]})


@pytest.mark.parametrize(
    "query, code",
    [
        ({"sdkappid": None, "usersig": "bad"}, 60012),
        ({"sdkappid": "1", "usersig": "bad"}, 60006),
        ({"sdkappid": "one", "usersig": None}, 60006),
        ({"usersig": None}, 70002),
        ({"usersig": "bad"}, 70003),
        ({"identifier": "somebody"}, 70013),
        ({"random": "many"}, 60002),
        ({"random": None, "contenttype": None}, 0),
    ],
)
async def test_the_query_is_checked_in_the_order_of_the_documentation(
    rest: RestClient, query: dict[str, Any], code: int
) -> None:
    reply = await rest.call("profile/portrait_get", {"To_Account": [], "TagList": []}, **query)
    assert reply["ErrorCode"] == code, reply


async def test_a_stranger_learns_neither_commands_nor_fields(shared_server: RunningServer) -> None:
    async with RestClient(shared_server, admin="mallory") as client:
        for command in ("openim/sendmsg", "openim/no_such", "no_such", "a/b/c"):
            assert (await client.call(command, b"no JSON"))["ErrorCode"] == 60010


async def test_an_expired_or_revoked_signature_is_refused(shared_server: RunningServer) -> None:
    app_id, key = shared_server.app_id, shared_server.secret_key
    async with RestClient(shared_server, admin="robot") as robot, RestClient(shared_server) as rest:
        old = timim.sign_user(app_id, key, "robot", expire_s=1, now=1_700_000_000)
        assert (await robot.call("profile/portrait_get", {}, usersig=old))["ErrorCode"] == 70001
        before = robot.query()["usersig"]
        async with raw_requests_of(shared_server.url, app_id=app_id, secret_key=key, user=rest.admin) as session:
            assert (await session.ask("timeline.end_logins", {"UserID": "robot", "Revoke": 1}))["ErrorCode"] == 0
        assert (await robot.call("profile/portrait_get", {}, usersig=before))["ErrorCode"] == 70052


@pytest.mark.parametrize(
    "command", ["openim/getmsg", "timeline/react", "openim/modify_c2c_msg", "a", "a/b/c", "openim.sendmsg/x"]
)
async def test_a_command_that_rest_does_not_have_is_refused(rest: RestClient, command: str) -> None:
    reply = await rest.call(command, {})
    assert reply["ErrorCode"] == 60009
    assert "docs/reference/rest.md" in reply["ErrorInfo"]


@pytest.mark.parametrize(
    "command, body, code",
    [
        ("openim/sendmsg", b"{", 90001),
        ("openim/sendmsg", b"[]", 90001),
        ("openim/sendmsg", b"\xff{}", 90001),
        ("openim/sendmsg", b"[" * 10_000, 90001),
        ("openim/sendmsg", {"To_Account": "a", "MsgBody": TEXT}, 90005),
        ("openim/sendmsg", {"To_Account": "a", "MsgBody": TEXT, "MsgRandom": "x"}, 90005),
        ("openim/sendmsg", {"MsgRandom": 1, "MsgBody": TEXT}, 90003),
        ("openim/sendmsg", {"To_Account": ["a"], "MsgRandom": 1, "MsgBody": TEXT}, 90003),
        ("openim/sendmsg", {"To_Account": "administrator", "MsgRandom": 1}, 90002),
        ("group_open_http_svc/create_group", b"nothing", 10011),
        ("group_open_http_svc/create_group", {"Type": "Public"}, 10004),
        ("group_open_attr_http_svc/get_group_attr", b"nothing", 10004),
        ("sns/friend_add", {"AddFriendItem": 7}, 30001),
        ("profile/portrait_set", {"ProfileItem": {}}, 40001),
    ],
)
async def test_an_invalid_body_has_the_code_of_its_service(rest: RestClient, command: str, body: bytes, code: int) -> None:
    reply = await rest.call(command, body)
    assert reply["ErrorCode"] == code, reply


@pytest.mark.parametrize("command, code", [("openim/sendmsg", 93000), ("sns/friend_add", 60002)])
async def test_a_body_over_the_limit_is_refused_and_the_next_request_is_served(
    rest: RestClient, command: str, code: int
) -> None:
    reply = await rest.call(command, b" " * 70_000)
    assert reply["ErrorCode"] == code
    await rest.done("profile/portrait_get", {"To_Account": []})


async def test_get_and_post_serve_alike_and_other_methods_are_refused(rest: RestClient) -> None:
    for method in ("GET", "POST"):
        await rest.done("profile/portrait_get", None, method=method)
        await rest.done("profile/portrait_get", {"To_Account": []}, method=method)
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        assert (await rest.call("profile/portrait_get", {}, method=method))["ErrorCode"] == 60002


async def test_old_and_new_names_of_fields_are_taken_and_both_returned(rest: RestClient, users: Users) -> None:
    await users.login("owner")
    await users.login("member")
    owner, member = users.id("owner"), users.id("member")
    created = await rest.done(
        "group_open_http_svc/create_group",
        {"Type": "Public", "Name": "names", "Owner_Account": owner, "MemberList": [{"Member_Account": member}]},
    )
    group = {"GroupId": created["GroupId"]}
    await rest.done("group_open_http_svc/modify_group_base_info", group | {"MuteAllMember": "On"})
    (info,) = (await rest.done("group_open_http_svc/get_group_info", {"GroupIdList": [group["GroupId"]]}))["GroupInfo"]
    assert (info["ShutUpAllMember"], info["MuteAllMember"]) == ("On", "On")
    for name in ("MuteTime", "ShutUpTime"):
        await rest.done("group_open_http_svc/modify_group_member_info", group | {"Member_Account": member, name: 600})
        reply = await rest.done("group_open_http_svc/get_group_member_info", group)
        (muted,) = [item for item in reply["MemberList"] if item["Member_Account"] == member]
        assert muted["ShutUpUntil"] == muted["MuteUntil"] > 0
        await rest.done("group_open_http_svc/modify_group_member_info", group | {"Member_Account": member, name: 0})


async def test_an_option_that_the_type_of_a_group_fixes_is_ignored(rest: RestClient) -> None:
    body = {"Type": "Private", "Name": "fixed", "ApplyJoinOption": "NeedPermission"}
    await rest.done("group_open_http_svc/create_group", body)


async def test_a_recall_reports_each_message_and_a_single_one_too(rest: RestClient, users: Users) -> None:
    alice = await users.login("alice")
    group = await alice.groups.create("Work", name="recalls")
    message = await group.conversation.send("recall me")
    body = {"GroupId": group.id, "MsgSeqList": [{"MsgSeq": message.seq}]}
    reply = await rest.done("group_open_http_svc/group_msg_recall", body)
    assert reply["RecallRetList"] == [{"MsgSeq": message.seq, "RetCode": 0}]
    body["MsgSeqList"] = [{"MsgSeq": 9999}]
    reply = await rest.done("group_open_http_svc/group_msg_recall", body)
    assert [item["RetCode"] for item in reply["RecallRetList"]] == [10030]


async def test_requests_are_counted_by_command_and_code(rest: RestClient, shared_server: RunningServer) -> None:
    await rest.call("no/such")
    await rest.call("openim/sendmsg", b"{")
    metrics = await rest.get("/metrics")
    assert 'timim_rest_requests_total{code="60009",command="unknown"}' in metrics
    assert 'timim_rest_requests_total{code="90001",command="openim.sendmsg"}' in metrics


async def test_no_random_request_is_an_internal_error(rest: RestClient, users: Users) -> None:
    """Test requests with every field of every command, of which one has a random value of a wrong type or size."""
    alice = await users.login("alice")
    group = await alice.groups.create("Public", name="fuzz")
    random = Random(7)
    served = {command.name for command in ALL_HANDLERS.rest_commands()}
    asked = 0
    while asked < 300:
        command, body = requests.random_request(random, group.id)
        if command in served:
            asked += 1
            reply = await rest.call(command.replace(".", "/"), body)
            assert reply["ErrorCode"] != 60002, (command, body, reply)


async def test_the_description_is_served_to_everybody(rest: RestClient) -> None:
    described = json.loads(await rest.get("/v4/openapi.json"))
    assert described["openapi"].startswith("3.1")
    served = {name for command in ALL_HANDLERS.rest_commands() for name in (command.name, *command.aliases)}
    assert set(described["paths"]) == {"/v4/" + name.replace(".", "/") for name in served}


async def test_a_command_with_two_names_is_registered_once() -> None:
    for command in ALL_HANDLERS.rest_commands():
        assert Door.REST in command.doors
        for alias in command.aliases:
            assert ALL_HANDLERS.rest_command(alias) is command


async def test_group_commands_are_served_under_the_name_for_communities_at_both_doors(
    shared_server: RunningServer, rest: RestClient
) -> None:
    big = "million_group_open_http_svc"
    body = {"Type": "Community", "Name": "big", "Owner_Account": rest.admin}
    group_id = (await rest.done(f"{big}/create_group", body))["GroupId"]
    app_id, key = shared_server.app_id, shared_server.secret_key
    async with raw_requests_of(shared_server.url, app_id=app_id, secret_key=key, user=rest.admin) as session:
        for service in (big, "group_open_http_svc"):
            reply = await session.ask(f"{service}.get_group_info", {"GroupIdList": [group_id]})
            assert reply["GroupInfo"][0]["Name"] == "big", reply
    for command, _ in ALL_HANDLERS.served.values():
        own = (".get_joined_group_list", ".get_pendency")  # the web client sends these beside those of other groups
        if command.service == "group_open_http_svc" and not command.name.endswith(own):
            assert ALL_HANDLERS.aliases[command.name.replace("group_open_http_svc", big, 1)] == command.name


async def test_no_log_has_a_signature(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with local_server() as server, RestClient(server) as rest:
        signature = rest.query()["usersig"]
        for command, body in (("no/such", b"{"), ("openim/sendmsg", b"{"), ("profile/portrait_get", b"")):
            await rest.call(command, body, usersig=signature)
        await rest.call("openim/sendmsg", b"{", usersig=signature + "x")
    texts = [record.getMessage() for record in caplog.records if record.name.startswith(("timim", "uvicorn", "starlette"))]
    assert any("no.such" in text for text in texts)
    assert not any(signature[:40] in text for text in texts)


async def test_an_unknown_command_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async with local_server() as server, RestClient(server) as rest:
        for _ in range(3):
            await rest.call("no/such")
    assert [record.getMessage() for record in caplog.records if "no.such" in record.getMessage()] != []
    assert sum("no.such" in record.getMessage() for record in caplog.records) == 1


async def test_a_body_that_does_not_arrive_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "BODY_S", 0.05)
    async with local_server() as server, RestClient(server) as rest:
        host, _, port = server.url.removeprefix("ws://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            f"POST /v4/openim/sendmsg?{urlencode(rest.query())} HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n{{".encode()
        )
        answered = await reader.read()
        writer.close()
    assert answered.startswith(b"HTTP/1.1 200")
    assert b'"ErrorCode":60008' in answered

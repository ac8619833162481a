"""Nobody acts as another: by an altered token, without a login, by a second login, by a name in a request, as administrator.

Each check also runs on a server that believes its clients, and has to fail there.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import msgspec
import pytest
from websockets.asyncio.client import connect

from tests.support import request_fields as requests
from tests.support.raw_requests import RawRequests, raw_requests_of
from tests.support.rest import RestClient, text
from timim import sign_user
from timim.protocol import session
from timim.protocol.codec import Door, Reply, encode
from timim.protocol.frames import Frame, decode_frames
from timim.server.endpoints import websocket
from timim.server.endpoints.guests import Guest
from timim.server.endpoints.rest import RestEndpoint
from timim.server.endpoints.websocket import WebSocketEndpoint
from timim.server.handlers import ALL_HANDLERS
from timim.server.handlers.registry import RequestContext
from timim.server.sessions import auth
from timim.testing import LocalServer, RunningServer, local_server

pytestmark = pytest.mark.asyncio(loop_scope="module")
Server = RunningServer | LocalServer
Check = Callable[[Server], Awaitable[None]]
Mutant = Callable[[pytest.MonkeyPatch], None]
NOT_LOGGED_IN, UNKNOWN, NOT_YOURS, NO_ADMIN = 6014, 60009, 90009, 60010
REFUSED_TOKEN = (70001, 70003)
ALTERED: dict[str, Callable[[str], str]] = {
    "one character less": lambda token: token[:-1],
    "half of it": lambda token: token[: len(token) // 2],
    "no signature": lambda token: token.rpartition(".")[0],
    "one character more": lambda token: token + "0",
    "a kilobyte more": lambda token: token + "0" * 1024,
    "another user": lambda token: token.replace(b"mallory".hex(), b"alice".hex(), 1),
    "a later end": lambda token: token.replace(".1", ".2", 1),
    "other letters": str.upper,
    "no ASCII": lambda token: token[:-1] + "\u4f60",
}


def raw(server: Server, user: str) -> Any:
    return raw_requests_of(server.url, app_id=server.app_id, secret_key=server.secret_key, user=user)


async def check_tokens(server: Server) -> None:
    """Check that an altered token opens neither the websocket nor the media endpoint, and an unaltered one opens both."""
    async with server.client("mallory") as mallory, httpx2.AsyncClient(trust_env=False) as http:
        info = mallory.engine.connection.server_info

        async def opened_by(token: str) -> tuple[int, int]:
            async with connect(server.url) as socket:
                reply = await RawRequests(socket).ask(session.LOGIN.name, b"{}", a2=token)
            headers = {b"Authorization": f"Bearer {token}".encode()}
            return reply["ErrorCode"], (await http.post(info.media_url, content=b"{}", headers=headers)).status_code

        assert await opened_by(info.token) == (0, 400)  # of the empty body
        for name, alter in ALTERED.items():
            assert alter(info.token) != info.token
            code, status = await opened_by(alter(info.token))
            assert code in REFUSED_TOKEN, name
            assert status == 401, name


async def check_before_login(server: Server) -> None:
    """Check that a websocket without a login gets answers to heartbeats only, whatever name its requests have."""
    async with connect(server.url) as socket:
        stranger = RawRequests(socket)
        assert (await stranger.ask(session.HEARTBEAT.name, b"{}"))["ErrorCode"] == 0
        for command in requests.commands():
            reply = await stranger.ask(command, requests.encoded(requests.valid_body(command, "@TGS#1")), identifier="alice")
            assert reply["ErrorCode"] == NOT_LOGGED_IN, command


async def check_second_login(server: Server) -> None:
    """Check that a second login in a session, with good credentials of another user, does not change who speaks."""
    await server.add_users("alice", "bob")
    async with raw(server, "mallory") as mallory:
        signature = sign_user(server.app_id, server.secret_key, "alice")
        await mallory.ask(session.LOGIN.name, b"{}", identifier="alice", usersig=signature)
        body = {"To_Account": "bob", "MsgRandom": 1, "MsgClientTime": 1_700_000_000, "MsgBody": text("who is this?")}
        assert (await mallory.ask("openim.sendmsg", body, identifier="alice"))["ErrorCode"] == 0
    async with server.client("bob") as bob:
        assert [message.sender for message in await bob.c2c("mallory").get_messages(1)] == ["mallory"]
        assert list(await bob.c2c("alice").get_messages(1)) == []


def naming_a_caller() -> list[str]:
    """Return the commands of the websocket whose requests can name the account that acts."""
    return [
        name
        for name, (command, _) in ALL_HANDLERS.served.items()
        if Door.WEBSOCKET in command.doors
        # From_Account of these names the message
        and not name.startswith(("openim.modify_c2c_msg", "openim_msg_ext_http_svc."))
        and any(field.encode_name == "From_Account" for field in msgspec.structs.fields(command.body))
    ]


async def check_named_callers(server: Server) -> None:
    """Check that no command acts for the account that a request of another user names."""
    await server.add_users("alice", "bob", "carol")
    async with raw(server, "mallory") as mallory:
        group = await mallory.ask("group_open_http_svc.create_group", {"Type": "Public", "Name": "g"})
        commands = naming_a_caller()
        assert len(commands) > 10
        codes: dict[str, int] = {}
        for command in commands:
            body = requests.valid_body(command, group["GroupId"])
            assert body["From_Account"] == "alice"
            if command == "group_open_http_svc.send_group_msg":
                del body["To_Account"], body["MsgPriority"]  # the values are not those of a group's message
            codes[command] = (await mallory.ask(command, requests.encoded(body)))["ErrorCode"]
        assert {command: code for command, code in codes.items() if code != NOT_YOURS} == {}


async def check_administration(server: Server) -> None:
    """Check that a command of administrators is unknown on the websocket, and that no user has a REST API."""
    await server.add_users("alice", "bob", "carol")
    of_administrators = [name for name, (command, _) in ALL_HANDLERS.served.items() if Door.WEBSOCKET not in command.doors]
    assert len(of_administrators) > 10
    async with raw(server, "mallory") as mallory, RestClient(server, admin="mallory") as rest:
        group = await mallory.ask("group_open_http_svc.create_group", {"Type": "Public", "Name": "g"})
        for command in of_administrators:
            body = requests.valid_body(command, group["GroupId"])
            assert (await mallory.ask(command, requests.encoded(body)))["ErrorCode"] == UNKNOWN, command
        ends = await mallory.ask("timeline.end_logins", {"UserID": "bob"})
        assert ends["ErrorCode"] != 0
        for served in ALL_HANDLERS.rest_commands():
            body = requests.valid_body(served.name, group["GroupId"])
            reply = await rest.call(served.name.replace(".", "/"), json.loads(requests.encoded(body)))
            assert reply["ErrorCode"] == NO_ADMIN, served.name


class AnyMac:
    """The module hmac, for which all signatures are equal."""

    digest = staticmethod(hmac.digest)

    @staticmethod
    def compare_digest(one: bytes, other: bytes) -> bool:
        return True


def takes_any_token(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(auth, "hmac", AnyMac)


async def _serve_anybody(self: WebSocketEndpoint, socket: Any, guest: Guest) -> None:
    while True:
        (frame,) = decode_frames(await websocket._receive(socket))
        context, name = RequestContext(frame.head.identifier, self._services), frame.head.servcmd
        beat = name == session.HEARTBEAT.name
        body = encode(Reply()) if beat else await self._handlers.answer(name, context, frame.body)
        await socket.send_bytes(self._frame(frame.head, body))


def serves_without_a_login(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(WebSocketEndpoint, "_wait_for_login", _serve_anybody)


def believes_each_head(patch: pytest.MonkeyPatch) -> None:
    answer = WebSocketEndpoint._answer

    async def answer_as_named(self: WebSocketEndpoint, context: RequestContext, session: Any, frame: Frame, *rest: Any) -> None:
        context = RequestContext(frame.head.identifier or context.user, context.services, session)
        await answer(self, context, session, frame, *rest)

    patch.setattr(WebSocketEndpoint, "_answer", answer_as_named)


def makes_everybody_an_administrator(patch: pytest.MonkeyPatch) -> None:
    authenticate = RestEndpoint._authenticate

    async def admit(self: RestEndpoint, request: Any) -> str:
        self._admins |= {request.query_params["identifier"]}
        return await authenticate(self, request)

    patch.setattr(RestEndpoint, "_authenticate", admit)

    def context_of(user: str, services: Any, session: Any, **of_request: Any) -> RequestContext:
        return RequestContext(user, services, session, True, **of_request)

    patch.setattr(websocket, "RequestContext", context_of)


CHECKS: list[tuple[Check, Mutant, pytest.MarkDecorator]] = [
    (check_tokens, takes_any_token, pytest.mark.requirement("H2")),
    (check_before_login, serves_without_a_login, pytest.mark.requirement("H5")),
    (check_second_login, believes_each_head, pytest.mark.requirement("H5")),
    (check_named_callers, makes_everybody_an_administrator, pytest.mark.requirement("H5")),
    (check_administration, makes_everybody_an_administrator, pytest.mark.requirement("H6")),
]


@pytest.mark.parametrize("check", [pytest.param(check, marks=mark) for check, _, mark in CHECKS])
async def test_nobody_acts_as_another(shared_server: RunningServer, check: Check) -> None:
    await check(shared_server)


@pytest.mark.parametrize("check, mutant", [pytest.param(check, mutant, marks=mark) for check, mutant, mark in CHECKS])
async def test_a_server_that_believes_its_clients_is_detected(
    check: Check, mutant: Mutant, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant(monkeypatch)
    async with local_server() as server:
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            await check(server)

"""Every value of every field of every command is answered by a refusal of its own, never by an internal error."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import request_fields as requests
from timim.errors import ServerFault
from timim.protocol import codec, numbers
from timim.protocol.conversation_settings import GET_READERS
from timim.protocol.messages import RoamC2CRequest
from timim.server import Server, Settings
from timim.server.handlers import ALL_HANDLERS
from timim.server.handlers.registry import RequestContext, Services

AT_ONCE = 50 if settings().max_examples > 1000 else 20  # requests of an example: a million with the 20,000 of `make fuzz`


class OpenServer(Server):
    """A server whose services a test can call without a socket."""

    services: Services

    async def _services(self, *args: Any) -> Services:
        self.services = await super()._services(*args)
        return self.services

    async def ask(self, command: str, body: bytes, user: str = requests.SELF) -> dict[str, Any]:
        """Return the reply to a request of a user."""
        reply: dict[str, Any] = json.loads(await ALL_HANDLERS.answer(command, RequestContext(user, self.services), body))
        return reply


@asynccontextmanager
async def open_server(folder: Path) -> AsyncIterator[OpenServer]:
    given: dict[str, Any] = {"data_dir": folder, "port": 0, "synchronous": "OFF", "group_messages_per_s": 0}
    given["groups_per_owner"] = 1_000_000  # each example has a group, and `make fuzz` 20,000 examples
    async with OpenServer(Settings(**given)) as server:
        for user in (requests.SELF, requests.PEER, requests.MEMBER):
            await server.services.entities.ensure_account(user)
        to_peer = {"To_Account": requests.PEER, "MsgBody": requests.TEXT}
        assert (await server.ask("openim.sendmsg", requests.encoded(to_peer)))["ErrorCode"] == 0
        yield server


async def new_group(server: OpenServer) -> str:
    """Return a group with a message in it."""
    members = [{"Member_Account": requests.MEMBER}]
    made = await server.ask(
        "group_open_http_svc.create_group", requests.encoded({"Type": "Public", "Name": "g", "MemberList": members})
    )
    group_id = str(made["GroupId"])
    body = {"GroupId": group_id, "MsgBody": requests.TEXT, "NeedReadReceipt": 1}
    assert (await server.ask("group_open_http_svc.send_group_msg", requests.encoded(body)))["ErrorCode"] == 0
    return group_id


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[OpenServer]:
    async with open_server(tmp_path_factory.mktemp("server")) as running:
        yield running


async def internal_errors(server: OpenServer, command: str) -> list[str]:
    """Return the fields and values of a command that are answered by an internal error."""
    group_id = await new_group(server)
    body = requests.valid_body(command, group_id)
    failed: list[str] = []
    for field in requests.fields(command):
        for value in requests.NUMBERS:
            reply = await server.ask(command, requests.encoded(requests.with_value(body, field.path, value)))
            if reply["ErrorCode"] == ServerFault.code:
                failed.append(f"{field} = {str(value)[:40]}")
    return failed


@pytest.mark.requirement("H21")
@pytest.mark.asyncio(loop_scope="module")
async def test_no_number_in_any_field_is_an_internal_error(server: OpenServer) -> None:
    failed = [error for command in requests.commands() for error in await internal_errors(server, command)]
    assert failed == []


@pytest.mark.requirement("H21")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(seed=st.integers(0, (1 << 64) - 1))
@pytest.mark.asyncio(loop_scope="module")
async def test_no_request_is_an_internal_error(server: OpenServer, seed: int) -> None:
    random = Random(seed)
    group_id = await new_group(server)
    for _ in range(AT_ONCE):
        command, body = requests.random_request(random, group_id)
        reply = await server.ask(command, body)
        assert reply["ErrorCode"] != ServerFault.code, (command, body)


@pytest.mark.requirement("H21")
@pytest.mark.parametrize("command", requests.commands())
def test_every_integer_of_a_request_has_a_bound(command: str) -> None:
    """Test that a new field is of the type Int, because a database cannot hold every number."""
    unbounded = requests.unbounded_integers(ALL_HANDLERS.served[command][0].body)
    checked_later = [("OfflinePushInfo", "PushFlag"), ("SendMsgControl", "NoUnread"), ("SendMsgControl", "NoLastMsg")]
    assert [path for path in unbounded if path not in checked_later] == []


@pytest.mark.requirement("H21")
@pytest.mark.asyncio(loop_scope="module")
async def test_a_server_that_decodes_any_number_is_detected(server: OpenServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mutant: it decodes a range of seqs without a bound."""

    class Unbounded(RoamC2CRequest):
        timeline_range: tuple[int, int] | msgspec.UnsetType = msgspec.field(name="TimelineRange", default=msgspec.UNSET)

    def decoder(kind: type[Any]) -> msgspec.json.Decoder[Any]:
        return msgspec.json.Decoder(Unbounded if kind is RoamC2CRequest else kind, strict=False)

    monkeypatch.setattr(codec, "_decoder", decoder)
    assert await internal_errors(server, "openim.getroammsg") != []
    assert ("TimelineRange", 0) in requests.unbounded_integers(Unbounded)


def test_numbers_fit_a_database_with_room_for_sums() -> None:
    assert numbers.fits(numbers.NUMBER_LIMIT)
    assert not numbers.fits(numbers.NUMBER_LIMIT + 1)
    assert not numbers.fits(-numbers.NUMBER_LIMIT - 1)
    assert 2 * numbers.NUMBER_LIMIT - 1 < 1 << 63


@pytest.mark.requirement("H21")
@pytest.mark.parametrize("cursor", [10**30, -1, "9" * 40, "9" * 5000, "x", "1e9", 1.5, True])
@pytest.mark.asyncio(loop_scope="module")
async def test_a_cursor_that_no_page_has_is_refused(server: OpenServer, cursor: object) -> None:
    group_id = await new_group(server)
    sent = {"GroupId": group_id, "Random": 1, "MsgBody": requests.TEXT, "NeedReadReceipt": 1}
    reply = await server.ask("group_open_http_svc.send_group_msg", json.dumps(sent).encode())
    body = {"GroupId": group_id, "MsgSeq": reply["MsgSeq"], "Cursor": cursor}
    refusal = await server.ask(GET_READERS.name, json.dumps(body).encode())
    assert refusal["ErrorCode"] in (10004, 60003)  # the handler, or the decoder of the body
    body["Cursor"] = ""
    assert (await server.ask(GET_READERS.name, json.dumps(body).encode()))["ErrorCode"] == 0

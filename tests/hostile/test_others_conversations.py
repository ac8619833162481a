"""The C2C conversations of others cannot be read or changed, and a blocked user reaches the one who blocked by nothing.

Each check also runs on a server without the mechanism, and has to fail there.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.support import request_fields as requests
from tests.support.raw_requests import raw_requests_of
from timim import Blacklisted
from timim.protocol.codec import Door
from timim.protocol.messages import ROAM_C2C
from timim.server.endpoints import websocket
from timim.server.handlers import ALL_HANDLERS, c2c
from timim.server.handlers.registry import RequestContext
from timim.server.messaging import history
from timim.server.messaging.admission import Admission
from timim.server.social import friend_rules
from timim.server.store.base import c2c_timeline
from timim.testing import EventRecorder, LocalServer, RunningServer, local_server

pytestmark = pytest.mark.asyncio(loop_scope="module")
Server = RunningServer | LocalServer
Check = Callable[[Server], Awaitable[None]]
Mutant = Callable[[pytest.MonkeyPatch], None]
SECRET = "for bob alone"
ODD_NAMES = (
    "alice\x1fbob",
    "bob\x1falice",
    "\x1falice\x1fbob",
    "c2c\x1falice\x1fbob",
    "alice\x00",
    "alice ",
    " bob",
    "alice\nbob",
)


def session_of(server: Server, user: str) -> Any:
    return raw_requests_of(server.url, app_id=server.app_id, secret_key=server.secret_key, user=user)


async def check_others(server: Server) -> None:
    """Check that no command of a third user shows or changes a message between two others, whatever it names."""
    async with server.client("alice") as alice, server.client("bob") as bob:
        sent = await alice.c2c("bob").send(SECRET)
        assert sent.seq
        named: dict[str, Any] = {
            "MsgKey": f"{sent.seq}_{sent.msg_id.split('-')[1]}_{int(sent.timestamp)}",
            "MsgSeq": sent.seq,
            "TimelineSeq": sent.seq,
            "MsgRandom": int(sent.msg_id.split("-")[1]),
            "MsgTimeStamp": int(sent.timestamp),
            "MaxCnt": 100,
            "TimelineRange": [1, 100],
            "TimelineReadSeq": 1,
            "TimelineUntil": 0,
            "LastMsgTime": 0,
        }
        async with session_of(server, "bob") as participant, session_of(server, "mallory") as mallory:
            body = _with_all(requests.valid_body(ROAM_C2C.name, ""), named | {"Peer_Account": "alice"})
            assert SECRET in json.dumps(await participant.ask(ROAM_C2C.name, requests.encoded(body)))
            for command in requests.commands():
                if Door.WEBSOCKET not in ALL_HANDLERS.served[command][0].doors or command == "openim.sendmsg":
                    continue
                for pair in (("alice", "bob"), ("bob", "alice"), *((name, name) for name in ODD_NAMES)):
                    names = {"From_Account": pair[0], "To_Account": pair[1], "Peer_Account": pair[1]}
                    body = _with_all(requests.valid_body(command, "@TGS#1"), named | names)
                    reply = await mallory.ask(command, requests.encoded(body))
                    assert SECRET not in json.dumps(reply), (command, pair)
        after = (await bob.c2c("alice").get_messages(10))[0]
        assert (after.text, after.recalled, after.version, dict(after.reactions)) == (SECRET, False, sent.version, {})
        assert bob.c2c("alice").unread == 1


def _with_all(body: Any, values: dict[str, Any]) -> Any:
    """Return a body in which the fields with these names have these values, at any depth."""
    if isinstance(body, dict):
        return {name: values[name] if name in values else _with_all(value, values) for name, value in body.items()}
    return [_with_all(item, values) for item in body] if isinstance(body, list) else body


async def check_blocked(server: Server) -> None:
    """Check that a blocked user reaches the one who blocked by no message, online message or application."""
    async with server.client("carol") as carol, server.client("mallory") as mallory:
        await carol.friends.block("mallory")
        received = EventRecorder(carol)
        to_carol = mallory.c2c("carol")
        for way, code in ((to_carol.send, 20007), (to_carol.send_online, 20007), (mallory.friends.add, 30525)):
            with pytest.raises(Blacklisted) as refused:
                await way("carol")
            assert refused.value.code == code
        await carol.c2c("carol").send("the end")
        assert list(await carol.c2c("mallory").get_messages(10)) == []
        assert await carol.friends.applications() == ()
        assert [message for message in received.messages if message.sender == "mallory"] == []


def joins_names(patch: pytest.MonkeyPatch) -> None:
    def joined(user: str, peer: str) -> str:
        return c2c_timeline(*peer.split("\x1f", 1)) if peer.count("\x1f") == 1 else c2c_timeline(user, peer)

    patch.setattr(history, "timeline_of", lambda user, key: joined(user, key.peer))
    patch.setattr(c2c, "checked_user_id", str)


def trusts_names(patch: pytest.MonkeyPatch) -> None:
    def context_of(user: str, services: Any, session: Any, **of_request: Any) -> RequestContext:
        return RequestContext("alice" if user == "mallory" else user, services, session, **of_request)

    patch.setattr(websocket, "RequestContext", context_of)


def blocks_no_message(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Admission, "check_c2c", lambda *_: None)


def blocks_no_application(patch: pytest.MonkeyPatch) -> None:
    added = friend_rules.added

    def add_anybody(me: Any, peer: Any, *args: Any, **options: Any) -> Any:
        return added(me, friend_rules.Person(peer.account, type(peer.relationships)()), *args, **options)

    patch.setattr(friend_rules, "added", add_anybody)


CHECKS: list[tuple[Check, Mutant, pytest.MarkDecorator]] = [
    (check_others, joins_names, pytest.mark.requirement("H9")),
    (check_others, trusts_names, pytest.mark.requirement("H9")),
    (check_blocked, blocks_no_message, pytest.mark.requirement("H10")),
    (check_blocked, blocks_no_application, pytest.mark.requirement("H10")),
]


@pytest.mark.parametrize("check", [pytest.param(check, marks=mark) for check, _, mark in CHECKS[1:3]])
async def test_conversations_of_others_are_closed(shared_server: RunningServer, check: Check) -> None:
    await check(shared_server)


@pytest.mark.parametrize("check, mutant", [pytest.param(check, mutant, marks=mark) for check, mutant, mark in CHECKS])
async def test_a_server_that_opens_conversations_of_others_is_detected(
    check: Check, mutant: Mutant, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant(monkeypatch)
    async with local_server() as server:
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            await check(server)

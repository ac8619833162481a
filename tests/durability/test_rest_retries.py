"""Tests of repeated REST requests: killed at a failpoint of a sending command, the server stores the repetition once."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.rest import RestClient, text
from timim.testing import RunningServer
from timim.util.failpoints import FAILPOINTS, Failpoint

GROUP, GROUPS = "retried", "group_open_http_svc/"
THEN = int(time.time()) - 1000
PLACES = [name for name in FAILPOINTS if name != "after-ack"]  # that one is in the queue of a websocket
BODIES: dict[str, dict[str, Any]] = {
    "openim/sendmsg": {"From_Account": "alice", "To_Account": "bob", "MsgRandom": 1, "MsgBody": text("sent")},
    "openim/batchsendmsg": {
        "From_Account": "alice",
        "To_Account": ["bob", "carol"],
        "SyncOtherMachine": 2,
        "MsgRandom": 2,
        "MsgBody": text("to many"),
    },
    "openim/importmsg": {
        "From_Account": "alice",
        "To_Account": "dave",
        "MsgRandom": 3,
        "MsgTimeStamp": THEN,
        "SyncFromOldSystem": 2,
        "MsgBody": text("imported"),
    },
    GROUPS + "send_group_msg": {"GroupId": GROUP, "From_Account": "alice", "Random": 4, "MsgBody": text("to the group")},
    GROUPS + "import_group_msg": {
        "GroupId": "imported",
        "MsgList": [{"From_Account": "alice", "SendTime": THEN + n, "MsgBody": text(f"old {n}")} for n in range(2)],
    },
}
COMMANDS = list(BODIES)


async def call(server: RunningServer, command: str) -> dict[str, Any]:
    async with RestClient(server) as rest:
        reply = await rest.done(command, BODIES[command])
    reply.pop("TimelineSender", None)  # the profile at the time of the first request is not repeated
    return reply


async def prepare(server: RunningServer) -> None:
    async with RestClient(server) as rest:
        await rest.done("im_open_login_svc/multiaccount_import", {"Accounts": ["alice", "bob", "carol", "dave"]})
        members = [{"Member_Account": "bob"}]
        await rest.done(GROUPS + "create_group", {"Type": "Public", "Name": "g", "GroupId": GROUP, "MemberList": members})
        made = {"Type": "Public", "Name": "g", "GroupId": "imported", "Owner_Account": "bob", "CreateTime": THEN - 1}
        await rest.done(GROUPS + "import_group", made)


async def killed_and_repeated(folder: Path, failpoint: Failpoint, command: str) -> dict[str, list[str]]:
    """Kill the server at a failpoint of one command, repeat all commands, and return the texts of each conversation."""
    server = RunningServer(folder, {})
    await server.start()
    try:
        await prepare(server)
        before = {name: await call(server, name) for name in COMMANDS if name != command}
        await server.restart(crash_at=failpoint)
        with pytest.raises(httpx2.HTTPError):
            await call(server, command)
        await server.wait_for_exit()
        await server.start()
        after = {name: await call(server, name) for name in COMMANDS}
        assert {name: after[name] for name in before} == before
        assert await call(server, command) == after[command]
        found: dict[str, list[str]] = {}
        for user in ("bob", "carol", "dave"):
            async with server.client(user) as client:
                found[user] = [m.text async for m in client.c2c("alice").history() if m.text]
                if user == "bob":
                    for group in (GROUP, "imported"):
                        found[group] = [m.text async for m in client.group(group).history() if m.text]
        async with server.client("alice") as alice:
            found["copies"] = [m.text for user in ("bob", "carol") async for m in alice.c2c(user).history() if m.text]
            assert alice.c2c("carol") not in alice.conversations
        return {name: sorted(texts) for name, texts in found.items()}
    finally:
        await server.faults.stop()
        await server.stop()


ONCE = {
    "bob": ["sent", "to many"],
    "carol": ["to many"],
    "dave": ["imported"],
    "copies": ["sent"],  # the other messages are for their receivers only
    GROUP: ["to the group"],
    "imported": ["old 0", "old 1"],
}


# each failpoint with one of the commands, so that each command has a failpoint
PAIRS = [(place, COMMANDS[number % len(COMMANDS)]) for number, place in enumerate(PLACES)]


@pytest.mark.parametrize("failpoint, command", PAIRS)
@pytest.mark.requirement("R4")
async def test_a_repeated_request_is_stored_once_after_a_kill(tmp_path: Path, failpoint: Failpoint, command: str) -> None:
    assert await killed_and_repeated(tmp_path, failpoint, command) == ONCE


@pytest.mark.soak
@pytest.mark.parametrize("failpoint", PLACES)
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.requirement("R4")
async def test_each_repeated_request_is_stored_once_after_a_kill_at_each_failpoint(
    tmp_path: Path, failpoint: Failpoint, command: str
) -> None:
    assert await killed_and_repeated(tmp_path, failpoint, command) == ONCE

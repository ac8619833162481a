"""Tests of the commands for operators over the REST API, as a user's client sees them, and of their JSON and exit statuses."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.integration.cli.test_cli import key_of, timim
from timim import GroupChanged, MessageRecalled, Muted
from timim.testing import EventRecorder, RunningServer, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServer]:
    async with running_server(data_dir=tmp_path_factory.mktemp("server") / "data") as running:
        yield running


class Operator:
    """A terminal of an operator, beside the data folder of the server."""

    def __init__(self, folder: Path, server: RunningServer) -> None:
        self._folder = folder
        self._key = key_of(server)

    async def run(self, *words: str, code: int = 0) -> str:
        """Run a command that ends with an exit status, and return its output."""
        done = await timim(self._folder, *words, **self._key)
        assert done.code == code, (words, done)
        return done.out

    async def objects(self, *words: str, code: int = 0) -> list[dict[str, Any]]:
        """Run a command with --json, and return its objects."""
        return [json.loads(line) for line in (await self.run(*words, "--json", code=code)).splitlines()]


@pytest.fixture
def operator(tmp_path: Path, server: RunningServer) -> Operator:
    return Operator(tmp_path, server)


async def test_an_operator_manages_accounts(operator: Operator, server: RunningServer) -> None:
    assert await operator.run("users", "create", "dora", "--nickname", "Dora") == "created dora\n"
    async with server.client("peer") as peer:
        assert (await peer.profiles.get(["dora"]))["dora"].nickname == "Dora"
        (muted,) = await operator.objects("users", "mute", "peer", "--c2c", "600")
        assert 590 < muted["muted_c2c_s"] <= 600
        with pytest.raises(Muted):
            await peer.c2c("dora").send("not now")
        found = await operator.objects("users", "show", "peer", "dora", "nobody")
        assert [(one["user"], one["nickname"], one["status"]) for one in found] == [
            ("peer", "", "Online"),
            ("dora", "Dora", "Offline"),
        ]
    assert await operator.run("users", "show", "nobody", code=3) == ""
    deleted = await operator.objects("users", "delete", "dora", "nobody", "--yes", code=1)
    assert [(one["user"], one["code"]) for one in deleted] == [("dora", 0), ("nobody", 70107)]


async def test_an_operator_manages_groups(operator: Operator, server: RunningServer) -> None:
    async with server.client("owner") as owner, server.client("member") as member:
        told = EventRecorder(member, GroupChanged)
        made = await operator.run("groups", "create", "Club", "--id", "club", "--owner", "owner", "--member", "member")
        assert made == "club\n"
        assert [one.id for one in await member.groups.joined()] == ["club"]
        assert {"type": "group_id", "group": "club"} in await operator.objects("groups", "list", "--type", "Public")
        added = await operator.objects("groups", "add", "club", "administrator", "member")
        assert [(one["user"], one["result"]) for one in added] == [("administrator", "added"), ("member", "was a member")]
        await told.wait_for_event(GroupChanged)
        await operator.run("groups", "transfer", "club", "member")
        (shown,) = await operator.objects("groups", "show", "club")
        assert (shown["name"], shown["owner"], shown["members"]) == ("Club", "member", 3)
        assert await operator.run("groups", "remove", "club", "owner", "--reason", "bye") == "removed owner\n"
        assert await operator.run("groups", "members", "club") == "member: Owner\nadministrator: Member\n"
        await operator.run("groups", "delete", "club", "--yes")
        assert await member.groups.joined() == []
        assert await owner.groups.joined() == []
    await operator.run("groups", "show", "club", code=1)
    await operator.run("groups", "delete", "none", code=1)


async def test_an_operator_sends_reads_and_recalls_messages(operator: Operator, server: RunningServer) -> None:
    async with server.client("alice") as alice, server.client("bob") as bob:
        received = EventRecorder(bob, MessageRecalled)
        group = await alice.groups.create("Public", name="g", members=["bob"])
        (sent,) = await operator.objects("messages", "send", "bob", "hello", "--from", "alice")
        assert (await received.wait_for_message(lambda m: m.text == "hello")).sender == "alice"
        await alice.c2c("bob").send("second")
        (seq,) = (await operator.run("messages", "send", group.id, "to all", "--group")).splitlines()
        assert (await received.wait_for_message(lambda m: m.text == "to all")).seq == int(seq)
        await operator.run("messages", "recall", "bob", sent["key"], "--from", "alice")
        await operator.run("messages", "recall", group.id, seq, "--group")
        for _ in range(2):
            await received.wait_for_event(MessageRecalled)
        found = await operator.objects("messages", "history", "bob", "--of", "alice")
        assert [(one["sender"], one["text"], one["recalled"]) for one in found] == [
            ("alice", "(recalled)", True),
            ("alice", "second", False),
        ]
        assert "administrator: (recalled)" in await operator.run("messages", "history", group.id, "--group", "--count", "1")
    await operator.run("messages", "history", "alice", code=3)
    await operator.run("messages", "recall", group.id, "9999", "--group", code=1)

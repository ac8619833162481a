"""Tests of `server.webhooks`: expected callbacks, answers of the test, and the dead letters that `timim webhooks` lists."""

from __future__ import annotations

import asyncio
import sys

import pytest

import timim
from timim.testing import running_server
from timim.testing.server import APP_ID
from timim.webhooks import BeforeMessage, GroupEvent, WebhookAnswer, WebhookEvent

CREATED, BEFORE = "Group.CallbackAfterCreateGroup", "C2C.CallbackBeforeSendMsg"


async def test_a_test_expects_callbacks_and_answers_them() -> None:
    async with running_server(webhook_commands=f"{CREATED},{BEFORE}") as server, server.client("alice") as alice:
        await server.add_users("bob")
        async with server.webhooks.expect(CREATED) as got:
            group = await alice.groups.create("Work", name="g")
        event = await got
        assert isinstance(event, GroupEvent)
        assert (event.group_id, event.members, event.operator) == (group.id, ["alice"], "alice")

        def refuse(event: WebhookEvent) -> WebhookAnswer:
            assert isinstance(event, BeforeMessage)
            return WebhookAnswer(error_code=120_001, error_info="no") if event.text == "bad" else WebhookAnswer()

        server.webhooks.answer = refuse
        await alice.c2c("bob").send("good")
        with pytest.raises(timim.ServerRefused, match="no"):
            await alice.c2c("bob").send("bad")
        async with server.webhooks.expect(CREATED, timeout=0.05) as got:
            pass
        with pytest.raises(timim.RequestTimeout, match=f"no callback {CREATED} within 0.05 s; there were: none"):
            await got


async def test_a_server_with_another_back_end_records_nothing() -> None:
    async with running_server() as server:
        with pytest.raises(timim.InvalidArgument, match="webhook_commands"):
            _ = server.webhooks


async def command(url: str, *args: str) -> str:
    options = ("--url", url, "--app-id", str(APP_ID))
    program = (sys.executable, "-m", "timim.cli", "webhooks", *args, *options)
    process = await asyncio.create_subprocess_exec(*program, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


async def test_dead_letters_are_listed_and_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_server(webhook_commands=CREATED, push_give_up_s=0.01) as server:
        monkeypatch.setenv("TIMIM_SECRET_KEY", server.secret_key)
        good = server._settings["webhook_url"]
        server._settings["webhook_url"] = "http://127.0.0.1:9/"
        await server.restart()
        async with server.client("alice") as alice:
            await alice.groups.create("Work", name="g")
        listed = ""
        async with asyncio.timeout(30):
            while "1 dead" not in listed:
                listed = await command(server.url, "list")
        assert f"{CREATED}: 0 waiting, 1 dead" in listed
        dead = await command(server.url, "dead")
        assert "cannot be reached" in dead
        server._settings["webhook_url"] = good
        await server.restart()
        async with server.webhooks.expect(CREATED) as got:
            assert "again: 1" in await command(server.url, "replay", dead.split()[0])
        assert isinstance(await got, GroupEvent)

"""Pins, mutes, drafts and read positions of a client that is offline, is cancelled, is killed, or is refused."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from timim import (
    Client,
    ConnectionRestored,
    ConversationChanged,
    ConversationSetting,
    NotAMember,
    NotLoggedIn,
    SettingRefused,
    sign_user,
)
from timim.testing import EventRecorder, LocalServer, local_server

LIMIT_S = 20
OFFLINE = 1_000_000  # times that a fault cuts a connection

pytestmark = pytest.mark.requirement("P06")


@pytest.fixture
async def server() -> AsyncIterator[LocalServer]:
    async with local_server(hello_interval_s=2) as running:
        yield running


async def says(server: LocalServer, count: int = 3) -> None:
    """Let Ann send messages to Bob."""
    await server.add_users("bob")
    async with server.client("ann") as ann:
        for number in range(count):
            await ann.c2c("bob").send(f"{number}")


async def change_all(client: Client) -> None:
    ann = client.c2c("ann")
    await ann.set_pinned(True)
    await ann.set_muted(True)
    await ann.set_draft("half a sen")
    await ann.mark_read()


def shown(client: Client) -> tuple[bool, bool, str, int]:
    ann = client.c2c("ann")
    return ann.pinned, ann.muted, ann.draft, ann.unread


ALL = (True, True, "half a sen", 0)


async def on_the_server(server: LocalServer) -> tuple[bool, bool, str, int]:
    async with server.client("bob") as fresh:
        return shown(fresh)


async def test_changes_without_a_login_are_on_the_server_when_the_login_returns(server: LocalServer, tmp_path: Path) -> None:
    await says(server)
    async with server.client("bob", data_dir=tmp_path):
        pass
    bob = server.client("bob", data_dir=tmp_path)
    await bob.open()
    assert bob.c2c("ann").unread == 3
    await change_all(bob)
    assert shown(bob) == ALL
    assert next(iter(bob.conversations)) is bob.c2c("ann")
    assert await on_the_server(server) == (False, False, "", 3)
    await bob.login()
    assert await on_the_server(server) == ALL
    await bob.close()
    with pytest.raises(NotLoggedIn):
        await bob.c2c("ann").set_pinned(False)


async def test_changes_during_a_reconnect_are_on_the_server_when_the_connection_is_restored(server: LocalServer) -> None:
    await says(server)
    async with server.client("bob", reconnect_limit=0.05) as bob, server.client("bob") as other:
        watch = EventRecorder(bob, ConnectionRestored, ConversationChanged, SettingRefused)
        away = server.faults.cut(user="bob", times=OFFLINE)
        server.faults.cut_all()
        await away.happened()
        await change_all(bob)
        assert shown(bob) == ALL
        server.faults.clear()
        await restored(watch)
        assert await on_the_server(server) == ALL
        assert [event for event in watch.events if isinstance(event, ConversationChanged | SettingRefused)] == []
        async with asyncio.timeout(LIMIT_S):
            while shown(other) != ALL:
                await other.c2c("ann").coverage()


async def restored(watch: EventRecorder) -> None:
    await watch.wait_for_event(ConnectionRestored)


CALLS: dict[str, Callable[[Client], Coroutine[Any, Any, None]]] = {
    "pinned": lambda client: client.c2c("ann").set_pinned(True),
    "muted": lambda client: client.c2c("ann").set_muted(True),
    "draft": lambda client: client.c2c("ann").set_draft("half a sen"),
    "read": lambda client: client.c2c("ann").mark_read(),
    "all read": lambda client: client.mark_all_read(),
}


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("call", CALLS)
async def test_a_change_survives_a_cut_before_the_request_or_the_answer(server: LocalServer, call: str, direction: Any) -> None:
    await says(server)
    async with server.client("bob", reconnect_limit=0.05) as bob:
        watch = EventRecorder(bob, ConnectionRestored, ConversationChanged, SettingRefused)
        cut = server.faults.cut(user="bob", direction=direction)
        await CALLS[call](bob)
        assert cut.done == 1
        await restored(watch)
        assert await on_the_server(server) == shown(bob)
        assert shown(bob) != (False, False, "", 3)


async def test_a_lost_request_is_sent_again_while_the_connection_stays(server: LocalServer) -> None:
    await says(server)
    async with server.client("bob", timeout=2) as bob, server.client("bob") as other:
        watch = EventRecorder(other, ConversationChanged)
        server.faults.drop(user="bob", direction="up")
        await bob.c2c("ann").set_draft("half a sen")  # returns after the timeout
        assert (await watch.wait_for_event(ConversationChanged)).draft == "half a sen"


@pytest.mark.requirement("R9")
@pytest.mark.parametrize("call", [name for name in CALLS if name != "all read"])
async def test_a_cancelled_change_is_sent_or_never_made(server: LocalServer, tmp_path: Path, call: str) -> None:
    await says(server)
    nothing = (False, False, "", 3)
    for steps in range(0, 40, 4):
        async with server.client("bob", data_dir=tmp_path / f"{steps}") as bob:
            task = asyncio.create_task(CALLS[call](bob))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            made = shown(bob)
        async with server.client("bob", data_dir=tmp_path / f"{steps}") as again:
            assert shown(again) == await on_the_server(server)
            assert shown(again) in (made, nothing) or made == nothing
        async with server.client("bob") as undo:
            await undo.c2c("ann").set_pinned(False)
            await undo.c2c("ann").set_muted(False)
            await undo.c2c("ann").set_draft("")
        if call == "read" and made[3] == 0:
            return


async def test_a_refused_change_is_taken_back_and_raised(server: LocalServer) -> None:
    await server.add_users("bob", "ann")
    async with server.client("ann") as ann, server.client("bob") as bob:
        group = await ann.groups.create("Public", name="team", members=["bob"])
        watch = EventRecorder(bob, ConnectionRestored, ConversationChanged, SettingRefused)
        await group.conversation.send("hello")
        await watch.wait_for_message(lambda m: m.text == "hello")
        team = bob.group(group.id)
        await team.set_draft("kept")
        await group.kick("bob")
        for call in (team.set_pinned(True), team.set_muted(True), team.set_draft("lost")):
            with pytest.raises(NotAMember):
                await call
        assert (team.pinned, team.muted, team.draft) == (False, False, "kept")
        unread = team.unread
        assert unread == 1
        with pytest.raises(NotAMember):
            await team.mark_read()
        assert team.unread == unread
        with pytest.raises(NotAMember):
            await bob.mark_all_read()
        assert bob.system().unread == 0, "the refusal of one conversation does not stop the others"
        assert [event for event in watch.events if isinstance(event, SettingRefused)] == []


def concerns(setting: ConversationSetting, event: SettingRefused) -> bool:
    return event.setting is setting


async def test_a_change_that_is_refused_later_is_taken_back_and_reported(server: LocalServer, tmp_path: Path) -> None:
    await server.add_users("bob", "ann")
    async with server.client("ann") as ann:
        group = await ann.groups.create("Public", name="team", members=["bob"])
        await group.conversation.send("hello")
        bob = server.client("bob", data_dir=tmp_path)
        watch = EventRecorder(bob, SettingRefused)
        await bob.login()
        await bob.logout()
        team = bob.group(group.id)
        await team.set_pinned(True)
        await team.mark_read()
        assert (team.pinned, team.unread) == (True, 0)
        await group.kick("bob")
        await bob.login()
        assert (team.pinned, team.unread) == (False, 1)
        for setting in (ConversationSetting.PINNED, ConversationSetting.READ):
            refused = await watch.wait_for_event(SettingRefused, partial(concerns, setting))
            assert refused.conversation == team.key
            assert isinstance(refused.error, NotAMember)
        await bob.close()


async def test_settings_of_a_group_that_was_left_and_joined_again_are_the_new_ones(server: LocalServer, tmp_path: Path) -> None:
    await server.add_users("bob", "ann")
    async with server.client("ann") as ann, server.client("bob", data_dir=tmp_path) as bob:
        group = await ann.groups.create("Public", name="team", members=["bob"])
        team = bob.group(group.id)
        await team.set_pinned(True)
        await group.kick("bob")
        await bob.logout()
        await group.invite("bob")
        await bob.login()
        async with server.client("bob") as fresh:
            assert team.pinned is fresh.group(group.id).pinned is False


async def test_a_client_without_recent_contacts_gets_the_settings_of_the_groups_it_has(
    server: LocalServer, tmp_path: Path
) -> None:
    await server.add_users("bob", "ann")
    async with server.client("ann") as ann:
        group = await ann.groups.create("Public", name="team", members=["bob"])
        async with server.client("bob", data_dir=tmp_path, recent_contacts=False) as bob:
            watch = EventRecorder(bob)
            sent = await group.conversation.send("hello")
            await watch.wait_for_message(lambda m: m.msg_id == sent.msg_id)
            assert bob.group(group.id).unread == 1
        async with server.client("bob") as other:
            await other.group(group.id).set_draft("half a sen")
            await other.group(group.id).mark_read()
        async with server.client("bob", data_dir=tmp_path, recent_contacts=False) as bob:
            assert (bob.group(group.id).draft, bob.group(group.id).unread) == ("half a sen", 0)


KILLED = """
import asyncio, os, signal, sys
from timim import Client

async def main(url, app_id, sig, folder, online):
    bob = Client(url, app_id=int(app_id), user_id="bob", user_sig=sig, data_dir=folder)
    await (bob.login() if online == "online" else bob.open())
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    ann = bob.c2c("ann")
    calls = [ann.set_pinned(True), ann.set_muted(True), ann.set_draft("half a sen"), ann.mark_read()]
    waiting = asyncio.gather(*calls)
    while not (ann.pinned and ann.muted and ann.draft and not ann.unread):
        await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("state", ["online", "offline"])
async def test_changes_survive_a_kill_of_the_program(server: LocalServer, tmp_path: Path, state: str) -> None:
    await says(server)
    async with server.client("bob", data_dir=tmp_path):
        pass
    signature = sign_user(server.app_id, server.secret_key, "bob")
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", KILLED, server.faults.url, str(server.app_id), signature, str(tmp_path), state),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert program.stdin is not None
    assert program.stdout is not None
    assert await program.stdout.readline() == b"ready\n"
    server.faults.drop(user="bob", direction="up", times=OFFLINE)
    program.stdin.write(b"\n")
    assert await program.wait() == -signal.SIGKILL
    server.faults.clear()
    assert await on_the_server(server) == (False, False, "", 3)
    async with server.client("bob", data_dir=tmp_path) as bob:
        assert shown(bob) == ALL
        assert await on_the_server(server) == ALL

"""Tests of clients that are ended in their own handlers, and of cancelled, shared and mistyped logins: each call ends."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from timim import (
    AuthError,
    Client,
    ConnectionFailed,
    ConnectionRestored,
    HandlerFailed,
    InvalidArgument,
    KickedOut,
    Message,
    NotLoggedIn,
    SignatureExpired,
    SignatureExpiring,
    TimimError,
    sign_user,
)
from timim.engine import handler_calls
from timim.testing import EventRecorder, RunningServer, running_server
from timim.transport import connection, websocket

LIMIT_S = 20
Stop = Callable[[Client, Client], Awaitable[object]]


@pytest.fixture
async def server() -> AsyncIterator[RunningServer]:
    async with running_server() as running:
        await running.add_users("bob")
        yield running


async def _create_task(bot: Client, other: Client) -> None:
    await asyncio.create_task(bot.close())


STOPS: dict[str, Stop] = {
    "logout": lambda bot, other: bot.logout(),
    "close": lambda bot, other: bot.close(),
    "wait_for": lambda bot, other: asyncio.wait_for(bot.logout(), LIMIT_S),
    "gather": lambda bot, other: asyncio.gather(bot.close(), other.close()),
    "create_task": _create_task,
}


async def _stopped_by_its_handler(server: RunningServer, stop: Stop, limit_s: float) -> None:
    ended = asyncio.Event()
    bot, other = server.client("bot"), server.client("other")

    @bot.on_new_message
    async def handler(messages: list[Message]) -> None:
        await stop(bot, other)
        ended.set()

    async with server.client("alice") as alice:
        await bot.login()
        await other.login()
        await alice.c2c("bot").send("/stop")
        await asyncio.wait_for(ended.wait(), limit_s)
    await bot.close()
    await other.close()


@pytest.mark.parametrize("name", STOPS)
async def test_a_handler_can_end_its_own_client(server: RunningServer, name: str) -> None:
    await _stopped_by_its_handler(server, STOPS[name], LIMIT_S)


async def test_a_logout_that_waits_for_its_caller_is_detected(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as mutant:
        mutant.setattr(handler_calls, "enter_handler", lambda task: None)
        mutant.setattr("timim.engine.dispatcher.enter_handler", lambda task: None)
        with pytest.raises(TimeoutError):
            await _stopped_by_its_handler(server, STOPS["wait_for"], 1)


async def test_two_clients_whose_handlers_end_both_do_not_wait_for_each_other(server: RunningServer) -> None:
    one, two, both = server.client("one"), server.client("two"), asyncio.Barrier(3)
    ended: list[str] = []

    async def end(messages: list[Message]) -> None:
        async with both:
            pass
        await asyncio.gather(one.close(), two.close())
        ended.append(messages[0].text)

    one.on_new_message(end)
    two.on_new_message(end)
    await one.login()
    await two.login()
    async with server.client("alice") as alice, asyncio.timeout(LIMIT_S):
        await alice.c2c("one").send("1")
        await alice.c2c("two").send("2")
        async with both:  # a client that is closed earlier never gets its message
            pass
        while len(ended) < 2:
            await asyncio.gather(one.close(), two.close())
            await asyncio.sleep(0)
    assert sorted(ended) == ["1", "2"]


async def _logged_in_again_by_its_handler(server: RunningServer, limit_s: float) -> TimimError:
    """Return the error of a login that a handler of KickedOut tries with a wrong signature."""
    bot, failed = server.client("bot"), asyncio.Queue[TimimError]()

    @bot.on(KickedOut)
    async def log_in(event: KickedOut) -> None:
        try:
            await bot.login(user_sig="wrong")
        except TimimError as exc:
            failed.put_nowait(exc)

    async with bot:
        bot.engine.connection.give_up(AuthError("ended by the test"))
        return await asyncio.wait_for(failed.get(), limit_s)


async def test_a_login_that_fails_in_a_handler_raises_there(server: RunningServer) -> None:
    assert isinstance(await _logged_in_again_by_its_handler(server, LIMIT_S), AuthError)


class _Odd(BaseException):
    """An exception that is not an Exception."""


@pytest.mark.parametrize("fault", ["cancels its task", "raises a BaseException"])
async def test_a_handler_that_ends_its_task_is_reported_and_later_messages_are_delivered(
    server: RunningServer, fault: str
) -> None:
    bot, seen = server.client("bot"), asyncio.Queue[str]()

    @bot.on_new_message
    async def handler(messages: list[Message]) -> None:
        for message in messages:
            if message.text == "bad":
                if fault == "raises a BaseException":
                    raise _Odd
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
                await asyncio.Event().wait()
            seen.put_nowait(message.text)

    recorder = EventRecorder(bot, HandlerFailed)
    async with bot, server.client("alice") as alice, asyncio.timeout(LIMIT_S):
        await alice.c2c("bot").send("bad")
        await recorder.wait_for_event(HandlerFailed)
        await alice.c2c("bot").send("good")
        assert await seen.get() == "good"


@pytest.mark.parametrize(
    "url",
    ["ws://127.0.0.1:99999", "ws://127.0.0.1:80a", "ws://127.0.0.1:-1", "ws://[::1:80", "ws://", "ws://host:0", "http://host"],
)
def test_a_mistyped_address_is_refused_at_once(url: str) -> None:
    with pytest.raises(InvalidArgument, match="URL"):
        Client(url, app_id=1, user_id="alice", user_sig="x", data_dir=":memory:")


@pytest.mark.parametrize("signature", [None, 7, b"bytes", "not ascii: é", "two\nlines"])
def test_a_signature_of_a_wrong_type_is_refused_at_once(signature: object) -> None:
    with pytest.raises(InvalidArgument, match="user_sig"):
        Client("ws://host", app_id=1, user_id="alice", user_sig=signature, data_dir=":memory:")  # type: ignore[arg-type]


async def test_a_login_ends_with_the_error_of_a_background_task(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    client = server.client("alice")

    async def broken(*args: object) -> None:
        raise ZeroDivisionError("a fault of timim")

    monkeypatch.setattr(client.engine.connection, "_connect_once", broken)
    with pytest.raises(TimimError, match="ZeroDivisionError"):
        await asyncio.wait_for(client.login(), LIMIT_S)
    monkeypatch.undo()
    async with asyncio.timeout(LIMIT_S), client:
        await client.c2c("bob").send("works again")


async def test_a_send_raises_the_fault_that_ended_the_login(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async with asyncio.timeout(LIMIT_S), server.client("alice", reconnect_limit=0.05) as client:

        async def broken(*args: object) -> None:
            raise ZeroDivisionError("a fault of timim")

        monkeypatch.setattr(client.engine.connection, "_connect_once", broken)
        client.engine.connection.cut()
        with pytest.raises(TimimError, match="sent after the next login"):
            await client.c2c("bob").send("waits")
        with pytest.raises(TimimError, match="sent after the next login"):
            await client.c2c("bob").send("waits too")
        monkeypatch.undo()
        await client.login()
        await client.c2c("bob").send("last")
        async with server.client("bob") as bob:
            assert await _texts(bob) == ["last", "waits too", "waits"]


async def test_no_call_sees_a_login_that_ended_without_a_reason(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async with asyncio.timeout(LIMIT_S), server.client("alice", reconnect_limit=0.05) as client:
        connection = client.engine.connection

        async def broken(*args: object) -> None:
            raise ZeroDivisionError("a fault of timim")

        monkeypatch.setattr(connection, "_connect_once", broken)
        connection.cut()
        while connection.running:  # noqa: ASYNC110  looks in each iteration of the event loop
            await asyncio.sleep(0)
        with pytest.raises(TimimError, match="a fault of timim"):
            await connection.up()


@pytest.mark.parametrize("turns", [1, 2, 3, 5, 8, 13, 40])
async def test_a_cancelled_login_leaves_nothing_locked(server: RunningServer, tmp_path: Path, turns: int) -> None:
    client = server.client("alice", data_dir=tmp_path)
    login = asyncio.create_task(client.login())
    for _ in range(turns):
        await asyncio.sleep(0)
    login.cancel()
    await asyncio.gather(login, return_exceptions=True)
    async with asyncio.timeout(LIMIT_S):
        await client.login()
        await client.close()
        async with server.client("alice", data_dir=tmp_path):
            pass


async def test_logins_at_the_same_time_are_one_login(server: RunningServer, tmp_path: Path) -> None:
    client = server.client("alice", data_dir=tmp_path)
    logins = [asyncio.create_task(client.login()) for _ in range(5)]
    await asyncio.sleep(0)
    logins[0].cancel()
    results = await asyncio.wait_for(asyncio.gather(*logins, return_exceptions=True), LIMIT_S)
    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1:] == [None] * 4
    await client.close()


async def test_a_logout_ends_a_login_of_another_task(server: RunningServer) -> None:
    client = server.client("alice")
    login = asyncio.create_task(client.login())
    await asyncio.sleep(0)
    await client.logout()
    with pytest.raises(NotLoggedIn, match="during the login"):
        await asyncio.wait_for(login, LIMIT_S)
    await client.close()


async def test_calls_from_another_event_loop_are_refused_and_the_own_loop_goes_on(server: RunningServer) -> None:
    async with server.client("alice") as alice:
        bob = alice.c2c("bob")

        def elsewhere(call: Callable[[], Awaitable[object]]) -> BaseException | None:
            async def run() -> None:
                await call()

            try:
                asyncio.run(run())
            except TimimError as exc:
                return exc
            return None

        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: bob.send("there"),
            lambda: bob.get_messages(5),
            bob.mark_read,
            alice.profile.get,
            alice.logout,
            alice.close,
            alice.login,
        ]
        for call in calls:
            error = await asyncio.to_thread(elsewhere, call)
            assert isinstance(error, InvalidArgument)
            assert "another event loop" in error.info
        await asyncio.wait_for(bob.send("here"), LIMIT_S)


def test_a_client_whose_event_loop_ended_says_so_and_frees_its_store(tmp_path: Path) -> None:
    client = Client("ws://127.0.0.1:1", app_id=1, user_id="alice", user_sig="x", data_dir=tmp_path)
    asyncio.run(client.open())
    with pytest.raises(InvalidArgument, match="event loop of the client has ended"):
        asyncio.run(client.open())
    again = Client("ws://127.0.0.1:1", app_id=1, user_id="alice", user_sig="x", data_dir=tmp_path)

    async def use() -> None:
        await again.open()
        await again.close()

    asyncio.run(use())


def test_a_closed_client_is_refused_in_another_event_loop(tmp_path: Path) -> None:
    client = Client("ws://127.0.0.1:1", app_id=1, user_id="alice", user_sig="x", data_dir=tmp_path)

    async def use() -> None:
        await client.open()
        await client.close()

    asyncio.run(use())
    with pytest.raises(InvalidArgument, match="event loop of the client has ended"):
        asyncio.run(use())


LEFT_OPEN = """
import asyncio, os
from timim.testing import running_server

async def main():
    async with running_server() as server:
        bot, busy = server.client("bot"), asyncio.Event()

        @bot.on_new_message
        async def handler(messages):
            busy.set()
            await asyncio.Event().wait()

        await bot.login()
        async with server.client("alice") as alice:
            await alice.c2c("bot").send("being handled")
            await busy.wait()
            received = bot.wait_for(lambda message: message.text == "waits")
            await alice.c2c("bot").send("waits")
            await received

asyncio.run(main())
"""
MUTANT = "from timim.engine.handler_caller import HandlerCaller\nHandlerCaller.serving = True\n"


def _complaints(program: str) -> list[str]:
    """Return the lines about handlers that a program writes to stderr."""
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    return [line for line in ended.stderr.splitlines() if "handler" in line]


def test_a_program_that_ends_while_messages_wait_for_a_handler_ends_quietly() -> None:
    assert _complaints(LEFT_OPEN) == []


def test_delivering_while_the_event_loop_ends_is_detected() -> None:
    assert _complaints(MUTANT + LEFT_OPEN) != []


async def test_a_forked_process_does_not_keep_the_store(tmp_path: Path) -> None:
    client = Client("ws://127.0.0.1:1", app_id=1, user_id="alice", user_sig="x", data_dir=tmp_path)
    await client.open()
    worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,), daemon=True)
    worker.start()
    try:
        await client.close()
        await client.open()
    finally:
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
        worker.join(5)
        with contextlib.suppress(TimimError):
            await client.close()


async def test_a_send_fails_at_once_when_the_signature_has_expired(server: RunningServer) -> None:
    short = sign_user(server.app_id, server.secret_key, "alice", expire_s=1)
    client = Client(
        server.url, app_id=server.app_id, user_id="alice", user_sig=short, data_dir=":memory:", reconnect_limit=0.05
    )
    async with asyncio.timeout(LIMIT_S), client:
        async with client.events(ConnectionRestored, KickedOut) as events:
            client.engine.connection.cut()
            async for event in events:
                if isinstance(event, KickedOut):
                    break
                client.engine.connection.cut()
        with pytest.raises(SignatureExpired, match="sent after the next login"):
            await client.c2c("bob").send("late")
        await client.login(user_sig=sign_user(server.app_id, server.secret_key, "alice"))
        async with server.client("bob") as bob:
            if not await _texts(bob):
                await bob.wait_for(lambda message: message.text == "late")
            assert await _texts(bob) == ["late"]


async def _texts(bob: Client) -> list[str]:
    return [message.text for message in await bob.c2c("alice").get_messages(5)]


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_function_gives_a_new_signature_for_each_login(server: RunningServer, asynchronous: bool) -> None:
    calls: list[int] = []

    def sign() -> str:
        calls.append(1)
        return sign_user(server.app_id, server.secret_key, "alice")

    async def sign_later() -> str:
        return sign()

    client = Client(
        server.url,
        app_id=server.app_id,
        user_id="alice",
        user_sig=sign_later if asynchronous else sign,
        data_dir=":memory:",
        reconnect_limit=0.05,
    )
    async with client:
        client.engine.connection.cut()
        await asyncio.wait_for(client.c2c("bob").send("after the cut"), LIMIT_S)
    assert len(calls) == 2


async def test_a_failing_signature_function_fails_the_login(server: RunningServer) -> None:
    def fail() -> str:
        raise OSError("the back end is away")

    client = Client(server.url, app_id=server.app_id, user_id="alice", user_sig=fail, data_dir=":memory:")
    with pytest.raises(TimimError, match="the back end is away"):
        await asyncio.wait_for(client.login(), LIMIT_S)
    await client.close()


async def test_a_signature_function_that_never_returns_ends_at_the_timeout(server: RunningServer) -> None:
    async def hang() -> str:
        await asyncio.Event().wait()
        return ""

    client = server.client("alice", user_sig=hang, timeout=0.1)
    with pytest.raises(ConnectionFailed, match="did not return within"):
        await asyncio.wait_for(client.login(), LIMIT_S)
    await client.close()


async def test_the_end_of_a_signature_is_reported_before() -> None:
    async with running_server(hello_interval_s=2) as server, asyncio.timeout(LIMIT_S):
        soon = sign_user(server.app_id, server.secret_key, "alice", expire_s=3)
        client = Client(server.url, app_id=server.app_id, user_id="alice", user_sig=soon, data_dir=":memory:")
        recorder = EventRecorder(client, SignatureExpiring)
        async with client:
            event = await recorder.wait_for_event(SignatureExpiring)
    assert event.expires_at <= time.time() + 3


async def test_a_message_that_a_handler_sends_during_a_logout_waits_for_the_next_login(
    server: RunningServer, tmp_path: Path
) -> None:
    bot = server.client("bot", data_dir=tmp_path)
    begun, leaving = asyncio.Event(), asyncio.Event()
    errors: list[TimimError] = []

    @bot.on_message
    async def answer(message: Message) -> None:
        begun.set()
        await leaving.wait()
        try:
            await message.conversation.send("answer")
        except NotLoggedIn as exc:
            errors.append(exc)

    async with server.client("alice") as alice:
        heard = EventRecorder(alice)
        await bot.login()
        await alice.c2c("bot").send("hello")
        await begun.wait()
        logged_out = bot.wait_for(lambda message: False)
        logout = asyncio.create_task(bot.logout())
        with pytest.raises(NotLoggedIn):
            await asyncio.wait_for(logged_out, LIMIT_S)
        leaving.set()
        await asyncio.wait_for(logout, LIMIT_S)
        assert [error.info for error in errors] == ["logged out; the message is sent after the next login"]
        await bot.login()
        await heard.wait_for_message(lambda message: message.text == "answer")
        await bot.close()


async def test_a_server_that_has_fallen_silent_does_not_keep_a_client_from_closing(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Test with short limits: the request of the logout and the close of the websocket both stay unanswered."""
    monkeypatch.setattr(connection, "LOGOUT_TIMEOUT_S", 0.05)
    monkeypatch.setattr(websocket, "CLOSE_TIMEOUT_S", 0.05)
    client = server.client("alice")
    await client.login()
    server.faults.stall(user="alice", direction="down")
    async with asyncio.timeout(8):  # the websocket library alone waits for 10 s
        await client.close()

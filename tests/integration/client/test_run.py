"""Tests of `client.run()` in real processes: the drain after a signal, the exit codes, errors in one line, and logging."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.fork_server import FORK_SERVER, ForkedProcess
from timim import Client, ConnectionFailed, InvalidArgument, Router, sign_user
from timim.testing import RunningServer, running_server

LIMIT_S = 40
BOT = """
import asyncio
import timim

MORE
bot = timim.Client.from_env(data_dir="bot-data", timeout=5)
tasks = []

@bot.on_message
async def handle(message: timim.Message) -> None:
    print("begun", message.text, flush=True)
    match message.text:
        case "log out":
            await bot.logout()
        case "for ever":
            await asyncio.Event().wait()
        case "wait":
            await asyncio.to_thread(open, "gate")  # a pipe, which the test opens at its other end
            for n in range(20):
                tasks.append(asyncio.create_task(message.reply(f"late {n}")))

bot.run(drain_s=DRAIN_S)
print("after run", flush=True)
"""
NO_FLUSH = """
from timim.engine.outbox import Outbox

async def nothing(self):
    pass

Outbox.flush = nothing
"""
NO_FINISH = """
from timim.engine.dispatcher import Dispatcher

async def nothing(self):
    self._caller.begin_stop()  # a cancelled handler is not called again
    for task in self._tasks:
        task.cancel()
    print("cancelled the handlers", flush=True)

Dispatcher.finish = nothing
"""


@pytest.fixture
async def server() -> AsyncIterator[RunningServer]:
    async with running_server() as running:
        yield running


def environment(server: RunningServer, **more: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TIMIM_")}
    own = {"TIMIM_URL": server.url, "TIMIM_APP_ID": str(server.app_id), "TIMIM_USER": "bot"}
    return clean | own | {"TIMIM_SECRET_KEY": server.secret_key, "PYTHONUNBUFFERED": "1"} | more


@asynccontextmanager
async def running_bot(
    folder: Path, settings: dict[str, str], *, drain_s: float = 30, more: str = ""
) -> AsyncIterator[ForkedProcess]:
    """Start the bot in a folder with an empty pipe, and kill it at the end."""
    (folder / "bot.py").write_text(BOT.replace("MORE", more).replace("DRAIN_S", str(drain_s)))
    os.mkfifo(folder / "gate")
    process = await FORK_SERVER.start((str(folder / "bot.py"),), settings, folder)
    try:
        async with asyncio.timeout(LIMIT_S):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def output(bot: ForkedProcess) -> tuple[bytes, bytes]:
    """Return the rest of the output and of the errors of a bot, when it has ended."""
    out, err = await bot.communicate()
    return out, err or b""


async def line_with(stream: asyncio.StreamReader | None, words: str) -> str:
    """Return the next line of a stream that has these words."""
    assert stream is not None
    while line := (await stream.readline()).decode():
        if words in line:
            return line
    raise AssertionError(f"the bot ended without printing {words!r}")


async def drained(server: RunningServer, folder: Path, *, more: str = "", after: str = "") -> tuple[int | None, int]:
    """Stop the bot while it handles a message; return its exit code and the number of answers that alice has then.

    Args:
        server: The server of the bot and of alice.
        folder: The folder of the bot.
        more: Code of the bot.
        after: Words that the bot prints before its handler may go on.
    """
    async with running_bot(folder, environment(server), more=more) as bot, server.client("alice") as alice:
        await line_with(bot.stderr, "bot is online at ws://127.0.0.1:")
        await alice.c2c("bot").send("wait")
        await line_with(bot.stdout, "begun wait")
        bot.send_signal(signal.SIGTERM)
        await line_with(bot.stderr, "SIGTERM: stopping; handlers have 30 s to finish")
        if after:
            await line_with(bot.stdout, after)
        gate = asyncio.create_task(asyncio.to_thread(open, folder / "gate", "w"))
        out, err = await output(bot)
        if not gate.done():  # no handler reads the pipe any more
            os.close(os.open(folder / "gate", os.O_RDONLY | os.O_NONBLOCK))
        (await gate).close()
        answers = [message.text for message in await alice.c2c("bot").get_messages(100) if message.sender == "bot"]
        assert more or b"Traceback" not in err, err
        assert (b"after run" in out) is (bot.returncode == 0)
        assert answers == [f"late {n}" for n in reversed(range(len(answers)))]
        return bot.returncode, len(answers)


async def test_sigterm_lets_a_running_handler_finish_and_sends_what_it_queued(server: RunningServer, tmp_path: Path) -> None:
    assert await drained(server, tmp_path) == (0, 20)


@pytest.mark.parametrize(
    "mutant, after", [(NO_FLUSH, ""), (NO_FINISH, "cancelled the handlers")], ids=["no_flush", "no_finish"]
)
async def test_a_program_that_ends_without_its_drain_is_detected(
    server: RunningServer, tmp_path: Path, mutant: str, after: str
) -> None:
    code, answers = await drained(server, tmp_path, more=mutant, after=after)
    assert (code, answers) != (0, 20)


async def test_a_handler_that_takes_longer_than_the_drain_is_cancelled_and_the_exit_code_says_so(
    server: RunningServer, tmp_path: Path
) -> None:
    async with running_bot(tmp_path, environment(server), drain_s=0.05) as bot, server.client("alice") as alice:
        await line_with(bot.stderr, "online")
        await alice.c2c("bot").send("for ever")
        await line_with(bot.stdout, "begun for ever")
        bot.send_signal(signal.SIGINT)
        out, err = await output(bot)
        assert (bot.returncode, b"after run" in out) == (3, False)
        assert b"within 0.05 s" in err
        assert b"Traceback" not in err


async def test_a_second_signal_ends_the_process_at_once(server: RunningServer, tmp_path: Path) -> None:
    async with running_bot(tmp_path, environment(server), drain_s=600) as bot, server.client("alice") as alice:
        await line_with(bot.stderr, "online")
        await alice.c2c("bot").send("for ever")
        await line_with(bot.stdout, "begun for ever")
        bot.send_signal(signal.SIGTERM)
        await line_with(bot.stderr, "SIGTERM: stopping")
        bot.send_signal(signal.SIGTERM)
        assert await bot.wait() == -signal.SIGTERM


async def test_a_logout_in_a_handler_ends_the_run_as_a_signal_does(server: RunningServer, tmp_path: Path) -> None:
    async with running_bot(tmp_path, environment(server)) as bot, server.client("alice") as alice:
        await line_with(bot.stderr, "online")
        await alice.c2c("bot").send("log out")
        out, _ = await output(bot)
        assert bot.returncode == 0
        assert b"after run" in out


async def test_a_refused_login_is_one_line_and_a_code_of_its_own(server: RunningServer, tmp_path: Path) -> None:
    wrong = environment(server, TIMIM_USER_SIG=sign_user(server.app_id, "another key", "bot"))
    async with running_bot(tmp_path, wrong) as bot:
        out, err = await output(bot)
        assert (bot.returncode, out) == (2, b"")
        (line,) = err.decode().splitlines()
        assert line.startswith("timim: the UserSig is not signed with this app's key")


async def test_a_server_that_cannot_be_reached_is_one_line_and_a_code_of_its_own(server: RunningServer, tmp_path: Path) -> None:
    async with running_bot(tmp_path, environment(server, TIMIM_URL="ws://127.0.0.1:9")) as bot:
        out, err = await output(bot)
        assert (bot.returncode, out) == (1, b"")
        (line,) = err.decode().splitlines()
        assert line.startswith("timim: ")
        assert "127.0.0.1:9" in line


async def test_a_login_that_the_server_ends_is_one_line_and_the_code_of_a_refusal(tmp_path: Path) -> None:
    async with running_server(devices="one") as server, running_bot(tmp_path, environment(server)) as bot:
        await line_with(bot.stderr, "online")
        async with server.client("bot"):
            _, err = await output(bot)
        assert bot.returncode == 2
        assert err.decode().splitlines()[-1].startswith("timim: ")
        assert b"Traceback" not in err


async def test_logging_that_the_program_has_set_up_is_left_alone(server: RunningServer, tmp_path: Path) -> None:
    more = "import logging\nlogging.basicConfig(level=logging.ERROR)"
    await server.add_users("bot")
    async with running_bot(tmp_path, environment(server), more=more) as bot, server.client("alice") as alice:
        await alice.c2c("bot").send("hello")
        await line_with(bot.stdout, "begun hello")
        bot.send_signal(signal.SIGTERM)
        _, err = await output(bot)
        assert (bot.returncode, err) == (0, b"")


async def test_a_run_inside_an_event_loop_or_another_thread_is_refused(server: RunningServer) -> None:
    client = server.client("bot")
    with pytest.raises(InvalidArgument, match="in a coroutine use `async with client`"):
        client.run()
    refused: list[InvalidArgument] = []

    def run() -> None:
        try:
            client.run(Router())
        except InvalidArgument as exc:
            refused.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    await asyncio.to_thread(thread.join)
    assert "main thread" in str(refused[0])


async def test_a_client_of_a_servers_folder_logs_in_at_its_address(tmp_path: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TIMIM_")}
    process = await FORK_SERVER.start(
        ("-m", "timim.cli", "serve", "--host", "0.0.0.0", "--port", "0", "--plain"), clean, tmp_path
    )
    try:
        await line_with(process.stdout, "listening on")
        folder = tmp_path / "timim-data"
        bot = await asyncio.to_thread(Client.from_server, folder, user_id="bot", data_dir=":memory:")
        alice = await asyncio.to_thread(Client.from_server, str(folder), user_id="alice", data_dir=":memory:", timeout=9)
        async with bot, alice:
            async with bot.c2c("alice").expect(lambda m: m.text == "hello", timeout=LIMIT_S) as received:
                await alice.c2c("bot").send("hello")
            await received
    finally:
        process.send_signal(signal.SIGTERM)
        await process.communicate()
    with pytest.raises(ConnectionFailed):
        await (await asyncio.to_thread(Client.from_server, folder, user_id="bot", data_dir=":memory:")).login()

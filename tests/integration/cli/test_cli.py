"""Tests of the command line in real processes: output, exit status and errors. An error is one line without a traceback."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.fork_server import FORK_SERVER, ForkedProcess
from timim.testing import RunningServer, running_server

LIMIT_S = 40
TIME = re.compile(r"^(\d{4}-\d\d-\d\d )?\d\d:\d\d ")  # of a message, at the start of its line
LINE = {"COLUMNS": "80", "TERM": "dumb", "NO_COLOR": "1"}  # a narrow terminal; an error must be one line even so


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def refusal(self) -> str:
        """Return the error line, after checking that it is the only output on stderr."""
        assert self.code == 1, self
        assert "Traceback" not in self.out + self.err
        (line,) = self.err.splitlines()
        assert line.startswith("timim: ")
        return line.removeprefix("timim: ")


def environment(**more: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TIMIM_")}
    return clean | LINE | more


async def timim(folder: Path, *words: str, **more: str) -> Said:
    """Run a command to its end and return its exit status and output."""
    process = await FORK_SERVER.start(("-m", "timim.cli", *words), environment(**more), folder)
    try:
        async with asyncio.timeout(LIMIT_S):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    assert err is not None
    return Said(process.returncode, out.decode(), err.decode())


@asynccontextmanager
async def terminal(folder: Path, *words: str, **more: str) -> AsyncIterator[ForkedProcess]:
    """Run a command in the block, and interrupt it afterwards. It must then exit with 0 and print nothing to stderr."""
    process = await FORK_SERVER.start(("-m", "timim.cli", *words), environment(PYTHONUNBUFFERED="1", **more), folder)
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(LIMIT_S):
            _, err = await process.communicate()
        assert (process.returncode, err) == (0, b"")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def line_with(process: ForkedProcess, words: str, *, of: str = "stdout") -> str:
    stream = process.stdout if of == "stdout" else process.stderr
    assert stream is not None
    async with asyncio.timeout(LIMIT_S):
        while line := (await stream.readline()).decode():
            if words in line:
                return line
    raise AssertionError(f"the program ended without printing {words!r}")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RunningServer]:
    async with running_server(data_dir=tmp_path / "server") as running:
        yield running


def key_of(server: RunningServer) -> dict[str, str]:
    """Return the environment with which the CLI signs as this server's users, with the key in the server's data folder."""
    return {"TIMIM_URL": server.url, "TIMIM_DATA_DIR": str(server.folder)}


@pytest.mark.requirement("P09")
async def test_two_terminals_exchange_a_message_as_the_readme_says(tmp_path: Path) -> None:
    port = "0"
    async with terminal(tmp_path, "serve", "--port", port) as serve:
        url = (await line_with(serve, "listens on")).split()[3]
        assert "keys" in await line_with(serve, "data and keys")
        assert (tmp_path / "timim-data" / "app.json").stat().st_mode & 0o077 == 0
        async with terminal(tmp_path, "tail", "--as", "bob", "--url", url) as tail:
            await line_with(tail, "bob is online", of="stderr")
            sent = await timim(tmp_path, "send", "bob", "hello 你好", "--as", "alice", "--url", url)
            assert sent.code == 0
            assert sent.out.endswith("seq 1\n")
            assert TIME.sub("", await line_with(tail, "alice")) == "alice: hello 你好\n"
        told = await timim(tmp_path, "history", "bob", "--as", "alice", "--url", url)
        assert TIME.sub("", told.out.splitlines()[0]) == "alice: hello 你好"
        assert "1 to 1, complete" in told.out.splitlines()[1]
    async with terminal(tmp_path, "serve", "--port", port) as again:
        url = (await line_with(again, "listens on")).split()[3]
        kept = await timim(tmp_path, "history", "alice", "--as", "bob", "--url", url)
        assert TIME.sub("", kept.out.splitlines()[0]) == "alice: hello 你好"


async def test_a_wrong_argument_is_one_clear_line(server: RunningServer, tmp_path: Path) -> None:
    await server.add_users("bob")
    key = key_of(server)

    async def refusal(*words: str, **more: str) -> str:
        return (await timim(tmp_path, *words, **key | more)).refusal

    alice = ("--as", "alice")
    assert "no account 'nobody'" in (unknown := await refusal("send", "nobody", "hi", *alice))
    assert "20003" in unknown
    assert "empty" in (empty := await refusal("send", "bob", "", *alice))
    assert "6017" in empty
    assert "the limit is 12288" in await refusal("send", "bob", "x" * 20_000, *alice)
    assert "there is no group 'none' (code 10010)" in await refusal("history", "none", "--group", *alice)
    assert "32" in await refusal("send", "bob", "hi", "--as", "x" * 33)
    assert "ws:// or wss://" in await refusal("send", "bob", "hi", *alice, TIMIM_URL=server.url.replace("ws", "http"))
    assert "ws:// or wss://" in await refusal("send", "bob", "hi", *alice, TIMIM_URL="nonsense")
    gone = await refusal("send", "bob", "hi", *alice, TIMIM_URL="ws://127.0.0.1:1")
    assert gone == "cannot connect to ws://127.0.0.1:1: Connection refused (code 9508)"
    assert "no app key in" in await refusal("send", "bob", "hi", *alice, TIMIM_DATA_DIR=str(tmp_path / "elsewhere"))


async def test_bad_signatures_are_told_apart(server: RunningServer, tmp_path: Path) -> None:
    app = {"TIMIM_URL": server.url, "TIMIM_APP_ID": str(server.app_id)}
    data = ("--data-dir", str(server.folder))

    async def refusal(signature: str) -> str:
        return (await timim(tmp_path, "send", "bob", "hi", "--as", "alice", TIMIM_USER_SIG=signature, **app)).refusal

    assert "malformed (code 70003)" in await refusal("nonsense")
    (server.folder / "app.json").write_text(f'{{"app_id": {server.app_id}, "secret_key": "{server.secret_key}"}}')
    bobs = await timim(tmp_path, "sig", "bob", *data)
    assert "the user who logs in (code 70013)" in await refusal(bobs.out.strip())
    ended = await timim(tmp_path, "sig", "alice", "--days", "0", *data)
    assert "expired (code 70001)" in await refusal(ended.out.strip())
    (server.folder / "app.json").write_text(f'{{"app_id": {server.app_id}, "secret_key": "another key"}}')
    forged = await timim(tmp_path, "sig", "alice", *data)
    assert "code 7000" in await refusal(forged.out.strip())


async def test_a_server_that_cannot_start_says_why(server: RunningServer, tmp_path: Path) -> None:
    port = server.url.rpartition(":")[2]

    async def refusal(*words: str) -> str:
        return (await timim(tmp_path, "serve", *words)).refusal

    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in await refusal("--port", port)
    assert "another server uses the data folder" in await refusal("--port", "0", "--data-dir", str(server.folder))
    (tmp_path / "a-file").touch()
    assert "cannot write to the data folder" in await refusal("--port", "0", "--data-dir", str(tmp_path / "a-file" / "data"))
    for words, more in ((("--port", "99999"), {}), ((), {"TIMIM_PORT": "abc"}), ((), {"TIMIM_HISTORY_PAGE": "many"})):
        said = await timim(tmp_path, "serve", *words, **more)
        assert said.code == 2
        (line,) = said.err.splitlines()
        assert line.startswith(("timim: the setting port: ", "timim: the setting history_page: "))


async def test_settings_come_from_flags_over_the_environment_over_a_file(tmp_path: Path) -> None:
    (tmp_path / "timim.toml").write_text('app_id = 1400000007\nport = 1\nhost = "no such host"\n')
    async with terminal(tmp_path, "serve", "--port", "0", TIMIM_HOST="127.0.0.2") as serve:
        greeting = await line_with(serve, "listens on")
        assert "ws://127.0.0.2:" in greeting
        assert ":1 " not in greeting
        assert "1400000007" in greeting
    (tmp_path / "timim.toml").write_text("no_such_setting = 2\n")
    wrong = await timim(tmp_path, "serve", "--port", "0")
    assert wrong.code == 2
    assert "no_such_setting" in wrong.err


@pytest.mark.requirement("P01")
async def test_gaps_shows_the_missing_ranges_and_fill_fetches_them(tmp_path: Path) -> None:
    async with running_server(data_dir=tmp_path / "timim-data", group_messages_per_s=0) as server:
        (tmp_path / "timim-data" / "app.json").write_text(f'{{"app_id": {server.app_id}, "secret_key": "{server.secret_key}"}}')
        await server.add_users("bob")
        async with server.client("alice") as alice:
            group = await alice.groups.create("Public", name="g", members=["bob"])
            await asyncio.gather(*(group.conversation.send(str(n)) for n in range(450)))
            await asyncio.gather(*(alice.c2c("bob").send(str(n)) for n in range(10)))
        at = {"TIMIM_URL": server.url, "TIMIM_USER": "bob"}
        kept = ("--kept", "device")
        said = await timim(tmp_path, "gaps", *kept, **at)
        assert said.code == 0, said
        rows = {line.split()[0]: line.split()[1:] for line in said.out.splitlines() if ":" in line}
        assert rows[f"group:{group.id}"] == ["1", "450", "1-449"]
        assert rows["c2c:alice"] == ["10", "10", "none"]
        assert "449 messages of 3 conversations are not stored here" in said.out
        one = await timim(tmp_path, "fill", "alice", *kept, **at)
        assert "fetched 0 messages of 1 conversations" in one.out
        filled = await timim(tmp_path, "fill", *kept, **at)
        assert "fetched 449 messages of 3 conversations; nothing is missing" in filled.out
        assert filled.err == ""  # a progress bar is only for a terminal
        after = await timim(tmp_path, "gaps", "--offline", *kept, **at)
        assert "0 messages of 3 conversations are not stored here" in after.out
        await server.stop()
        assert "cannot connect" in (await timim(tmp_path, "fill", *kept, **at)).refusal
        assert (await timim(tmp_path, "gaps", "--offline", *kept, **at)).out == after.out

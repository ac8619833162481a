"""`timim chat` in a real terminal of 80×24 characters: tmux starts the command, presses keys and reads the screen."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from timim.testing import RunningServer, running_server

LIMIT_S = 30
LOOK_S = 0.1
TMUX = shutil.which("tmux")
pytestmark = pytest.mark.skipif(TMUX is None, reason="there is no tmux on this machine")


class Terminal:
    """A terminal of tmux, on a tmux server of its own."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def tmux(self, *words: str) -> str:
        """Run a command of tmux and return its output."""
        assert TMUX is not None
        clean = {name: value for name, value in os.environ.items() if name != "TMUX" and not name.startswith("TIMIM_")}
        process = await asyncio.create_subprocess_exec(
            TMUX, "-u", "-f", "/dev/null", "-S", str(self._socket), *words,
            stdout=asyncio.subprocess.PIPE, env=clean | {"LC_ALL": "C.UTF-8"},
        )  # fmt: skip
        out, _ = await process.communicate()
        return out.decode()

    async def keys(self, *keys: str) -> None:
        """Press keys; several characters are typed."""
        await self.tmux("send-keys", *keys)

    async def sees(self, *texts: str) -> None:
        """Wait until the screen has all these texts."""
        screen = ""
        try:
            async with asyncio.timeout(LIMIT_S):
                while not all(text in screen for text in texts):
                    screen = await self.tmux("capture-pane", "-p")
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            raise AssertionError(f"{texts} did not come within {LIMIT_S} s; the screen is\n{screen}") from None


@asynccontextmanager
async def terminal(server: RunningServer, folder: Path, *words: str) -> AsyncIterator[Terminal]:
    """Run `timim chat` with these words in a terminal. The shell shows the exit status at the end."""
    command = f"{sys.executable} -m timim.cli chat --url {server.url} --kept {folder / 'kept'} {' '.join(words)}"
    started = Terminal(folder / "socket")
    try:
        await started.tmux("new-session", "-d", "-x", "80", "-y", "24", f"{command}; echo exit=$?; exec sleep {2 * LIMIT_S}")
        yield started
    finally:
        await started.tmux("kill-server")


async def test_a_chat_survives_the_death_of_its_server(tmp_path: Path) -> None:
    async with running_server() as server:
        async with (
            server.client("bob") as bob,
            terminal(server, tmp_path, "bob --as alice", "--data-dir", str(server.folder)) as alice,
        ):
            await alice.sees("alice · online")
            received = bob.wait_for(lambda message: message.text == "hello\nfrom tmux", timeout=LIMIT_S)
            await alice.keys("hello", "C-j", "from tmux", "Enter")
            await received
            await bob.c2c("alice").send("an answer 你好")
            await alice.sees(" ✓", "alice: hello", "from tmux", "bob: an answer 你好")
            await server.crash()
            await alice.sees("connection lost, reconnecting…")
            await alice.keys("while away", "Enter")
            await alice.sees(" …  alice: while away")
            received = bob.wait_for(lambda message: message.text == "while away", timeout=LIMIT_S)
            await server.start()
            await received
            await alice.sees("alice · online", "✓  alice: while away")
            await alice.keys("C-q")
            await alice.sees("exit=0")


async def test_a_wrong_signature_is_one_line_and_exit_status_1(tmp_path: Path) -> None:
    async with running_server() as server:
        signature = tmp_path / "signature"
        await asyncio.to_thread(signature.write_text, "wrong")
        account = ("--as alice", "--app-id", str(server.app_id), "--sig-file", str(signature))
        async with terminal(server, tmp_path, *account) as alice:
            await alice.sees("timim: ", "exit=1")

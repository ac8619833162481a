"""Tests of the code blocks in the docs: each one runs against a real server, in the order of its page.

The blocks of a page share an empty folder. The info string of a block says how it runs:

- `python title="bot.py"`, `toml title="…"`, `js title="…"`: the block is saved under this name; a later shell block runs it.
- `python`: a fragment that may await at its top level. The fragments of a page share their names, which begin with `timim`,
  `asyncio`, and `client`: alice, logged in.
- `bash`: each line is run. With `data-until="text"` the last line runs in the background, and the next block waits until it
  has printed the text. `data-stops` interrupts the last program in the background before. `data-exit` is the exit status.
  A block that begins with `node` is left out with its output where Node is not installed.
- `text title="Output"`: the lines that the block before must print, in this order; `…` stands for any text.
- `data-skip="reason"`: the block is not run. SKIPPED has the number of such blocks on each page.

Options that begin with `data-` need the form of the site's generator for attributes: `{ .bash data-until="text" }`.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import io
import json
import os
import re
import shlex
import shutil
import signal
import socket
import sys
from dataclasses import dataclass
from inspect import CO_COROUTINE
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
import rich.console

import timim
from tests.support.fork_server import CONFTEST, FORK_SERVER
from tests.support.paths import DOCS, MEDIA, ROOT
from timim.testing import RunningServer, running_server
from timim.testing.server import ServerProcess

FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^`\n]+)\n(?P<code>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
OPTION = re.compile(r'([\w-]+)="([^"]*)"')
DEFAULT_URL = "127.0.0.1:8700"
BACKEND_PORT = "8800"
LIMIT_S = 120
# imported here, because a progress bar would import it on the event loop, where reading the working directory is blocking
assert rich.console is not None
SHELL_SYNTAX = re.compile(r"[|&;<>$`*\n]")
PROGRAMS = {"timim": ("-m", "timim.cli"), "pytest": ("-m", "pytest"), "python": ()}
LANGUAGES = ("python", "bash")
SKIPPED: dict[str, int] = {
    "explanation/comparison.md": 3,
    "how-to/analyse_messages.md": 1,
    "how-to/back_up_and_restore.md": 3,
    "how-to/chat_in_the_terminal.md": 1,
    "how-to/connect_through_a_proxy.md": 1,
    "how-to/measure_a_server.md": 1,
    "how-to/run_a_cluster.md": 3,
    "how-to/serve_with_tls.md": 3,
    "how-to/upgrade_a_data_folder.md": 1,
    "index.md": 1,
    "project/releasing.md": 2,
    "tutorials/explore_in_jupyter.md": 1,
    "tutorials/first_message.md": 1,
    "tutorials/testing_your_bot.md": 1,
    "zh/tutorials/explore_in_jupyter.md": 1,
    "zh/tutorials/first_message.md": 1,
    "zh/tutorials/testing_your_bot.md": 1,
}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its language, its options, and its code."""

    page: str
    line: int
    language: str
    options: dict[str, str]
    code: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(text: str, page: str) -> list[Block]:
    """Return the fenced blocks of a page that have a language."""
    found = []
    for fence in FENCE.finditer(text):
        indent = len(fence["indent"])
        code = "".join(line[indent:] if line.strip() else "\n" for line in fence["code"].splitlines(keepends=True))
        language = fence["info"].strip("{} ").split()[0].lstrip(".")
        found.append(Block(page, text.count("\n", 0, fence.start()) + 1, language, dict(OPTION.findall(fence["info"])), code))
    return found


def commands_of(code: str) -> list[str]:
    """Return the commands of a shell block. Each line is a command; a backslash at its end continues it."""
    lines = code.replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def missing_lines(output: str, expected: str) -> list[str]:
    """Return the lines of `expected` that are missing in `output`, or not in this order."""
    printed = iter([line.rstrip() for line in output.splitlines()])
    wanted = [line.rstrip() for line in expected.splitlines() if line.strip()]
    patterns = [(line, re.compile(re.escape(line.strip()).replace("…", ".*"))) for line in wanted]
    return [line for line, pattern in patterns if not any(pattern.fullmatch(each.strip()) for each in printed)]


def pages() -> list[Path]:
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(DOCS.rglob("*.md"))}
    return [path for path, text in texts.items() if any(block.language in LANGUAGES for block in blocks_of(text, ""))]


def blocks_in(page: Path) -> list[Block]:
    return blocks_of(page.read_text(encoding="utf-8"), name_of(page))


def name_of(page: Path) -> str:
    return page.relative_to(DOCS).as_posix()


class Background:
    """A program that a block has started in the background, and its output so far."""

    def __init__(self, process: ServerProcess) -> None:
        self.process = process
        self.output = ""
        self.news = asyncio.Event()
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while data := await self.process.stdout.read(65536):
            self.output += data.decode()
            self.news.set()
        self.news.set()

    async def wait_for(self, text: str) -> None:
        async with asyncio.timeout(LIMIT_S):
            while text not in self.output:
                assert not self.reading.done(), f"the program ended without printing {text!r}: {self.output}"
                self.news.clear()
                await self.news.wait()

    async def stop(self) -> None:
        """Interrupt the program, as Ctrl-C does, and wait for its end."""
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            # programs that bash starts for a test in the background ignore SIGINT
            ignored = re.search(r"SigIgn:\s+([0-9a-f]+)", _state_of(self.process.pid))
            ignores_sigint = ignored is not None and int(ignored[1], 16) >> (signal.SIGINT - 1) & 1
            self.process.send_signal(signal.SIGTERM if ignores_sigint else signal.SIGINT)
        try:
            async with asyncio.timeout(LIMIT_S):
                await self.process.wait()
        except TimeoutError:
            state = _state_of(self.process.pid)
            self.process.kill()
            pytest.fail(f"the program did not end after the signal; its output: {self.output}; its state: {state}")
        await self.reading


def _state_of(pid: int) -> str:
    """Return the kernel's account of a process: its state, and the signals that it blocks and ignores."""
    return Path(f"/proc/{pid}/status").read_text(encoding="utf-8")


class Reader:
    """A reader of one page: a folder, a server, and the output of the last block."""

    def __init__(self, folder: Path, *, starts_server: bool) -> None:
        self.folder = folder
        self.output: str | Background | None = ""
        self._starts_server = starts_server
        self._exit = contextlib.AsyncExitStack()
        self._background: list[Background] = []
        self._port, self._backend_port = _free_port(), _free_port()
        self._server: RunningServer | None = None
        self._names: dict[str, Any] = {}

    async def __aenter__(self) -> Self:
        if not self._starts_server:
            self._server = await self._exit.enter_async_context(running_server(data_dir=self.folder / "timim-data"))
            self._port = int(self._server.url.rpartition(":")[2])
            await self._server.add_users("bob", "carol")
            identity = {"app_id": self._server.app_id, "secret_key": self._server.secret_key}
            (self.folder / "timim-data").mkdir(exist_ok=True)
            (self.folder / "timim-data" / "app.json").write_text(json.dumps(identity))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        client = self._names.get("client")
        if isinstance(client, timim.Client):
            await client.close()
        for background in reversed(self._background):
            await background.stop()
        await self._exit.aclose()

    async def run(self, block: Block) -> None:
        """Run a block, or compare the output of the last block with it."""
        code = block.code.replace(DEFAULT_URL, f"127.0.0.1:{self._port}").replace(BACKEND_PORT, str(self._backend_port))
        if block.language in ("python", "toml", "js") and "title" in block.options:
            (self.folder / block.options["title"]).write_text(code)
        elif block.language == "python":
            await self._run_fragment(code, block)
        elif block.language == "bash":
            await self._run_shell(code, block)
        elif block.options.get("title") == "Output" and self.output is not None:
            output = self.output if isinstance(self.output, str) else self.output.output
            output = output.replace(f"127.0.0.1:{self._port}", DEFAULT_URL)
            assert missing_lines(output, block.code) == [], (str(block), output)

    async def _run_shell(self, code: str, block: Block) -> None:
        if "data-stops" in block.options:
            await self._background.pop().stop()
        if until := block.options.get("data-until"):
            *before, last = commands_of(code)
            for command in before:
                await self._run_command(command, block)
            background = Background(await self._start(last))
            self._background.append(background)
            self.output = background
            await background.wait_for(until)
            return
        if commands_of(code)[0].startswith("node ") and shutil.which("node") is None:
            self.output = None
            return
        printed = [await self._run_command(command, block) for command in commands_of(code)]
        self.output = "".join(printed)

    async def _run_command(self, command: str, block: Block) -> str:
        """Return the output of a command, after checking its exit status."""
        process = await self._start(command)
        async with asyncio.timeout(LIMIT_S):
            printed, _ = await process.communicate()
        output = printed.decode()
        assert await process.wait() == int(block.options.get("data-exit", "0")), (str(block), command, output)
        return output

    async def _start(self, command: str) -> ServerProcess:
        """Start a command: a Python program in the fork server, any other one in bash. Output and errors share one pipe."""
        words = [] if SHELL_SYNTAX.search(command) else shlex.split(command)
        given = {}
        while words and (assignment := re.fullmatch(r"(\w+)=(.*)", words[0])):
            given[assignment[1]] = assignment[2]
            words.pop(0)
        environment = self._environment() | given
        if words[:1] == ["pytest"]:
            environment |= await asyncio.to_thread(FORK_SERVER.shared)
        if words and words[0] in PROGRAMS:
            return await FORK_SERVER.launch([*PROGRAMS[words[0]], *words[1:]], environment)
        return await asyncio.create_subprocess_exec(
            *("bash", "-euo", "pipefail", "-c", command),
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    def _environment(self) -> dict[str, str]:
        own = {
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
            "PYTHONPATH": os.pathsep.join((str(self.folder), str(ROOT))),
            "HOME": str(self.folder),
            "XDG_DATA_HOME": str(self.folder / "share"),
            "COLUMNS": "200",
            "PYTHONUNBUFFERED": "1",
            "PYTEST_ADDOPTS": "-p no:cacheprovider -W ignore",
            "TIMIM_PORT": str(self._port),
            "TIMIM_URL": f"ws://127.0.0.1:{self._port}",
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("TIMIM_", "PYTEST_"))}
        return inherited | own

    async def _run_fragment(self, code: str, block: Block) -> None:
        if not self._names:
            self._names = {"timim": timim, "asyncio": asyncio, "client": await self._log_in("alice")}
        compiled = compile(code, str(block), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        printed = io.StringIO()
        async with asyncio.timeout(LIMIT_S):
            with contextlib.redirect_stdout(printed):
                result = eval(compiled, self._names)
                if compiled.co_flags & CO_COROUTINE:
                    await result
        self.output = printed.getvalue()

    async def _log_in(self, user_id: str) -> timim.Client:
        app = json.loads((self.folder / "timim-data" / "app.json").read_text())
        signature = timim.sign_user(app["app_id"], app["secret_key"], user_id)
        url = f"ws://127.0.0.1:{self._port}"
        client = timim.Client(url, app_id=app["app_id"], user_id=user_id, user_sig=signature, data_dir=self.folder / "share")
        await client.login()
        return client


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def add_files(folder: Path) -> None:
    """Copy media into the folder under the names of the files that the pages send."""
    (folder / "conftest.py").write_text(CONFTEST)  # the tests on a page start servers too
    for source, name in (
        ("astronaut.png", "cat.png"),
        ("rocket.jpg", "cat.jpg"),
        ("rocket.jpg", "report.pdf"),
        ("hello-zh.wav", "hello.wav"),
        ("hello-en.wav", "film.mp4"),
    ):
        shutil.copyfile(MEDIA / source, folder / name)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    add_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", pages(), ids=name_of)
async def test_the_blocks_of_a_page_run(page: Path, folder: Path) -> None:
    blocks = [block for block in blocks_in(page) if "data-skip" not in block.options]
    if not any(block.language in LANGUAGES for block in blocks):
        return
    starts_server = any(block.language == "bash" and "timim serve" in block.code for block in blocks)
    async with Reader(folder, starts_server=starts_server) as reader:
        for block in blocks:
            await reader.run(block)


def test_each_block_that_is_not_run_is_counted_and_says_why() -> None:
    skipped: dict[str, int] = {}
    for page in pages():
        for block in blocks_in(page):
            if "data-skip" in block.options:
                assert len(block.options["data-skip"].split()) >= 3, str(block)
                skipped[block.page] = skipped.get(block.page, 0) + 1
    assert skipped == SKIPPED


def test_each_block_has_a_language_in_a_form_that_the_site_shows() -> None:
    """Test that blocks have a language, because others would not be run, and braces, because bare attributes appear as text."""
    fences = re.compile(r"^ *```([^`\n]*)\n.*?^ *```$", re.MULTILINE | re.DOTALL)
    form = re.compile(r'\w+( title="[^"]+")?|\{ \.\w+( [\w-]+="[^"]+")+ \}')
    found = {name_of(page): fences.findall(page.read_text(encoding="utf-8")) for page in sorted(DOCS.rglob("*.md"))}
    wrong = {name: [info for info in infos if not form.fullmatch(info)] for name, infos in found.items()}
    assert {name: infos for name, infos in wrong.items() if infos} == {}


async def test_a_wrong_fragment_and_a_wrong_output_are_detected(folder: Path) -> None:
    page = '```python\nprint("one")\n```\n\n```text title="Output"\none\n```\n\n```text title="Output"\ntwo\n```\n'
    fragment, right, wrong = blocks_of(page, "page.md")
    (failing,) = blocks_of("```python\nawait client.c2c('nobody').send('hello')\n```\n", "page.md")
    async with Reader(folder, starts_server=False) as reader:
        await reader.run(fragment)
        await reader.run(right)
        with pytest.raises(AssertionError, match="two"):
            await reader.run(wrong)
        with pytest.raises(timim.UnknownUser):
            await reader.run(failing)

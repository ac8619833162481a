"""Tests of README.md: its program and commands run as pasted, README.zh.md has the same code, and links lead to files."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests.support.fork_server import FORK_SERVER, ForkedProcess
from tests.support.paths import MEDIA, ROOT

README = ROOT / "README.md"
README_ZH = ROOT / "README.zh.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")
LIMIT_S = 40


def blocks(page: Path, language: str) -> list[str]:
    """Return the code blocks of a language, in order."""
    return [code for found, code in BLOCK.findall(page.read_text()) if found == language]


def commands(page: Path, *, of: str) -> list[list[str]]:
    """Return the commands of the one shell block that contains `of`, as words."""
    (block,) = [code for code in blocks(page, "") if of in code]
    return [words for line in block.splitlines() if (words := shlex.split(line, comments=True))]


@dataclass(frozen=True)
class Reader:
    """A reader of the README: a folder with a running `timim serve`."""

    folder: Path
    environment: dict[str, str]

    async def timim(self, *words: str) -> ForkedProcess:
        """Start a timim command."""
        return await FORK_SERVER.start(("-m", "timim.cli", *words), self.environment, self.folder)

    async def python(self, file: str) -> asyncio.subprocess.Process:
        """Start a Python program in a new interpreter."""
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            sys.executable, file, cwd=self.folder, env=self.environment, stdout=pipe, stderr=pipe
        )


Process: TypeAlias = ForkedProcess | asyncio.subprocess.Process


async def output_of(process: Process) -> str:
    """Return the output of a program, which must succeed."""
    async with asyncio.timeout(LIMIT_S):
        out, err = await process.communicate()
    assert process.returncode == 0, (out, err)
    return out.decode()


async def line_with(process: Process, words: str, *, of: str = "stdout") -> str:
    """Return the next line of a stream that contains `words`."""
    stream = process.stdout if of == "stdout" else process.stderr
    assert stream is not None
    async with asyncio.timeout(LIMIT_S):
        while line := (await stream.readline()).decode():
            if words in line:
                return line
    raise AssertionError(f"the program ended without printing {words!r}")


@asynccontextmanager
async def until_interrupted(process: Process) -> AsyncIterator[Process]:
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(LIMIT_S):
            await process.communicate()


@pytest.fixture
async def reader(tmp_path: Path) -> AsyncIterator[Reader]:
    folder = tmp_path / "folder"
    folder.mkdir()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TIMIM_")}
    own = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data"), "COLUMNS": "200", "PYTHONUNBUFFERED": "1"}
    environment = clean | own | {"PYTHONPATH": str(ROOT)}
    serve = await Reader(folder, environment).timim("serve", "--port", "0", "--plain")
    async with until_interrupted(serve):
        url = (await line_with(serve, "listening on")).split()[-1]
        yield Reader(folder, environment | {"TIMIM_URL": url})


async def test_the_bot_has_nine_lines_and_answers_as_pasted(reader: Reader) -> None:
    program = blocks(README, "python")[0]
    assert len(program.splitlines()) <= 9
    (reader.folder / "bot.py").write_text(program)
    tail, send = commands(README, of="timim tail --as alice")
    bot = await reader.python("bot.py")
    async with until_interrupted(bot):
        assert bot.stderr is not None
        async with asyncio.timeout(LIMIT_S):
            while b"bot is online" not in await bot.stderr.readline():
                assert bot.returncode is None
        async with until_interrupted(await reader.timim(*tail[1:])) as receiving:
            await line_with(receiving, "alice is online", of="stderr")
            await output_of(await reader.timim(*send[1:]))
            assert (await line_with(receiving, "bot")).endswith(" bot: you said: hello\n")
    assert bot.returncode == 0


async def test_the_commands_run_as_written(reader: Reader) -> None:
    tail, *others = commands(README, of="timim get")
    (reader.folder / "film.mp4").write_bytes((MEDIA / "rocket.jpg").read_bytes())
    printed: dict[str, str] = {}
    async with until_interrupted(await reader.timim(*tail[1:])) as receiving:
        await line_with(receiving, "bob is online", of="stderr")
        for program, *words in others:
            assert program == "timim"
            printed[words[0]] = await output_of(await reader.timim(*words))
        assert "hello" in await line_with(receiving, "alice")
    assert "complete" in printed["history"]
    assert (reader.folder / "downloads" / "film.mp4").read_bytes() == (MEDIA / "rocket.jpg").read_bytes()
    assert printed["sig"].strip()


async def test_the_test_passes_as_pasted() -> None:
    namespace: dict[str, Any] = {}
    exec(compile(blocks(README, "python")[1], str(README), "exec"), namespace)
    await namespace["test_hello"]()


def test_both_languages_have_the_same_code_apart_from_comments() -> None:
    def code(page: Path) -> list[list[str]]:
        lines = [block.splitlines() for _, block in BLOCK.findall(page.read_text())]
        return [[line.split("#")[0].rstrip() for line in block] for block in lines]

    assert code(README) == code(README_ZH)


@pytest.mark.parametrize("name", ["README.md", "README.zh.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_every_link_leads_to_a_file(name: str) -> None:
    links = [link for link in LINK.findall((ROOT / name).read_text()) if "://" not in link]
    assert [link for link in links if not (ROOT / link).exists()] == []

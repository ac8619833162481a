"""Tests of the fixture `timim_server` in pytest runs of other projects: modes of pytest-asyncio, xdist and anyio's plugin."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.fork_server import CONFTEST, FORK_SERVER
from tests.support.paths import ROOT

LIMIT_S = 50
# the ignored warning is that of pytest-asyncio about a project without its configuration
QUIET = (
    "-p",
    "no:cacheprovider",
    "-p",
    "no:hypothesispytest",
    "-p",
    "no:schemathesis",
    "-c",
    "/dev/null",
    "-W",
    "error",
    "-W",
    "ignore:The configuration option",
)
TALK = """
import pytest

from timim.testing import EventRecorder

{mark}
async def test_{name}(timim_server):
    await timim_server.add_users("bob")
    async with timim_server.client("alice") as alice, timim_server.client("bob") as bob:
        recorder = EventRecorder(bob)
        sent = await alice.c2c("bob").send("hello")
        assert sent.seq == 1, "the server is not new"
        assert (await recorder.wait_for_message()).text == "hello"
"""
STRICT = "@pytest.mark.asyncio"
ANYIO = '@pytest.mark.anyio\n@pytest.mark.parametrize("anyio_backend", ["asyncio"])'
MODULE_LOOP = '@pytest.mark.asyncio(loop_scope="module")'


@dataclass(frozen=True)
class Done:
    """The exit status of a pytest run, and its output."""

    returncode: int
    stdout: str


def run_pytest(folder: Path, *options: str, prelude: str = "") -> Done:
    """Run pytest in a new interpreter with the plugins that are installed, as another project would."""
    program = f"import sys, pytest\n{prelude}\nsys.exit(pytest.main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, *arguments(folder, *options)]
    done = subprocess.run(
        command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=LIMIT_S
    )
    return Done(done.returncode, done.stdout.decode())


async def fork_pytest(folder: Path, *options: str) -> Done:
    """Run pytest as `run_pytest` does, but in a process that has imported timim, which takes half the time.

    The servers of its tests are forked too.
    """
    (folder / "conftest.py").write_text(CONFTEST)
    shared = await asyncio.to_thread(FORK_SERVER.shared)
    program = ("-m", "pytest", *arguments(folder, *options, "-W", "ignore:Module already imported"))
    process = await FORK_SERVER.start(program, environment() | shared | {"PYTHONPATH": str(ROOT)}, folder)
    async with asyncio.timeout(LIMIT_S):
        out, err = await process.communicate()
    return Done(await process.wait(), out.decode() + (err or b"").decode())


def arguments(folder: Path, *options: str) -> list[str]:
    return ["-q", *QUIET, *options, f"--rootdir={folder}", str(folder)]


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "TIMIM_"))}


@pytest.mark.parametrize(
    "mark, options",
    [
        pytest.param(STRICT, (), id="strict"),
        pytest.param("", ("--asyncio-mode=auto",), id="auto"),
        pytest.param(STRICT, ("-n", "2"), id="xdist"),
        pytest.param(MODULE_LOOP, (), id="loop of a module"),
        pytest.param(STRICT, ("-p", "no:anyio"), id="without anyio"),
        pytest.param(ANYIO, (), id="anyio beside strict"),
        pytest.param(ANYIO, ("-p", "no:asyncio"), id="anyio alone"),
    ],
)
async def test_two_tests_have_a_server_each(tmp_path: Path, mark: str, options: tuple[str, ...]) -> None:
    (tmp_path / "test_talk.py").write_text("".join(TALK.format(mark=mark, name=name) for name in ("one", "two")))
    done = await fork_pytest(tmp_path, *options)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_the_default_loop_scope_of_a_project_is_followed(tmp_path: Path) -> None:
    (tmp_path / "test_talk.py").write_text(TALK.format(mark=STRICT, name="one"))
    done = run_pytest(tmp_path, "-o", "asyncio_default_test_loop_scope=session")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "mark, options, remedy",
    [
        pytest.param(ANYIO.replace('"asyncio"', '"trio"'), (), "a fixture anyio_backend that returns 'asyncio'", id="trio"),
        pytest.param(ANYIO, ("--asyncio-mode=auto",), "set asyncio_mode = strict", id="two plugins"),
        pytest.param("", ("-p", "no:asyncio"), "pip install pytest-asyncio", id="no loop"),
    ],
)
async def test_a_test_that_no_asyncio_loop_runs_is_refused_by_its_remedy(
    tmp_path: Path, mark: str, options: tuple[str, ...], remedy: str
) -> None:
    (tmp_path / "test_talk.py").write_text(f"import pytest\n{mark}\nasync def test_talk(timim_server): pass\n")
    done = await fork_pytest(tmp_path, *options)
    assert done.returncode == 1
    assert remedy in done.stdout


@pytest.mark.parametrize("missing", ["pydantic_settings", "starlette"])
def test_without_the_server_the_error_names_the_extra(tmp_path: Path, missing: str) -> None:
    (tmp_path / "test_talk.py").write_text(TALK.format(mark=STRICT, name="one"))
    done = run_pytest(tmp_path, prelude=f"sys.modules[{missing!r}] = None")
    assert done.returncode == 1
    assert "pip install 'timim[server]'" in done.stdout

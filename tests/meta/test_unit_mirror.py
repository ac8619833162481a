"""Tests that tests/unit mirrors timim/: each file there tests the module of the same path, and there are no other files."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.support.paths import ROOT

NOT_TESTS = frozenset({"conftest.py"})


def without_module(tests: Path, package: Path) -> Iterator[str]:
    """Yield the files of `tests` that mirror no module of `package`: a/test_b.py is for a/b.py or for the folder a/b."""
    for path in sorted(tests.rglob("*.py")):
        folder = package / path.parent.relative_to(tests)
        name = path.stem.removeprefix("test_")
        mirrored = path.stem != name and ((folder / f"{name}.py").is_file() or (folder / name).is_dir())
        if not mirrored and path.name not in NOT_TESTS:
            yield str(path.relative_to(tests))


def test_each_unit_test_mirrors_a_module() -> None:
    assert list(without_module(ROOT / "tests" / "unit", ROOT / "timim")) == []


def test_a_file_without_a_module_is_found(tmp_path: Path) -> None:
    tests, package = tmp_path / "unit", tmp_path / "package"
    for folder in (tests / "a", package / "a" / "folder"):
        folder.mkdir(parents=True)
    for name in ("test_b.py", "test_c.py", "test_folder.py", "helpers.py", "conftest.py"):
        (tests / "a" / name).touch()
    (package / "a" / "b.py").touch()
    assert list(without_module(tests, package)) == ["a/helpers.py", "a/test_c.py"]


PROBES = """
import asyncio, socket, subprocess
from contextlib import suppress

def test_connect(): socket.create_connection(("127.0.0.1", 9))
def test_listen(): socket.create_server(("127.0.0.1", 0))
def test_start_a_process(): subprocess.run(["true"])
def test_connect_and_hide_the_error():
    with suppress(AssertionError, OSError): socket.create_connection(("127.0.0.1", 9))
def test_run_a_loop_and_a_thread(): asyncio.run(asyncio.to_thread(list))
"""


def test_a_unit_test_may_not_use_the_network_or_a_process(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "unit" / "conftest.py").read_text())
    (tmp_path / "test_probes.py").write_text(PROBES)
    run = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", str(tmp_path)]
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        [*run, str(tmp_path)], capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path, env=environment
    )
    passed = {
        name
        for state, name in re.findall(r"^(\w+) test_probes\.py::test_(\w+)", done.stdout, re.MULTILINE)
        if state == "PASSED"
    }
    failed = {
        name
        for state, name in re.findall(r"^(\w+) test_probes\.py::test_(\w+)", done.stdout, re.MULTILINE)
        if state != "PASSED"
    }
    assert failed == {"connect", "listen", "start_a_process", "connect_and_hide_the_error"}, done.stdout
    assert passed - failed == {"run_a_loop_and_a_thread"}, done.stdout

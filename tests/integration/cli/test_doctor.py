"""Tests of `timim doctor`: each check of the machine, when it is good and when it is not."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import pytest_asyncio

from tests.integration.cli.test_cli import timim
from timim.cli import machine_checks
from timim.cli.machine_checks import Finding, check_clock, check_port
from timim.server.settings import Settings
from timim.testing import RunningServer, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServer]:
    async with running_server(data_dir=tmp_path_factory.mktemp("server") / "data") as running:
        yield running


async def port_finding(url: str, folder: Path) -> tuple[Finding, str]:
    """Check the port of a URL as the doctor of a server with this data folder does."""
    host, _, port = url.removeprefix("ws://").rpartition(":")

    def check() -> tuple[Finding, str]:
        return check_port(Settings(host=host, port=int(port), data_dir=folder))

    return await asyncio.to_thread(check)


async def test_every_check_is_good_on_a_good_machine(tmp_path: Path) -> None:
    said = await timim(tmp_path, "doctor", "--port", "0", "--json")
    findings = {finding["subject"]: finding for finding in map(json.loads, said.out.splitlines())}
    assert (said.code, said.err) == (0, "")
    assert {"python", "sqlite", "packages", "disk", "space", "port", "clock", "open files", "database"} <= findings.keys()
    assert "bad" not in {finding["state"] for finding in findings.values()}
    assert os.listdir(tmp_path) == []  # noqa: PTH208  the checks leave nothing


async def test_a_bad_finding_is_exit_status_1(tmp_path: Path) -> None:
    (tmp_path / "a-file").write_bytes(b"")
    said = await timim(tmp_path, "doctor", "--port", "0", "--data-dir", "a-file/data")
    assert said.code == 1
    assert f"bad      disk: {tmp_path}/a-file cannot be written: Not a directory; change its owner" in said.out
    assert "see the findings for disk" in said.err


async def test_the_port_is_free_or_used_by_a_named_program(server: RunningServer, tmp_path: Path) -> None:
    own, url = await port_finding(server.url, server.folder)
    assert (own.good, url) == (True, server.url)
    assert f"process {server.pid}" in own.text
    other, url = await port_finding(server.url, tmp_path)
    assert (other.good, url) == (False, server.url)
    assert "another timim server" in other.text
    listener = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with listener:
        address = f"ws://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        foreign, url = await port_finding(address, tmp_path)
    assert (foreign.good, url) == (False, "")
    assert f"process {os.getpid()}); stop it, or choose another port" in foreign.text
    free, url = await port_finding(address, tmp_path)
    assert (free.good, url) == (True, "")


async def test_the_clock_is_compared_with_the_server(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await asyncio.to_thread(check_clock, server.url)).good
    fast = SimpleNamespace(time=lambda: time.time() + 60)
    monkeypatch.setattr(machine_checks, "time", fast)
    wrong = await asyncio.to_thread(check_clock, server.url)
    assert wrong.good is False
    assert "NTP" in wrong.text
    for url in ("ws://127.0.0.1:1", "nonsense"):
        assert (await asyncio.to_thread(check_clock, url)).good is None

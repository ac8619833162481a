"""Tests of `timim bench`: its report on a good server, and its detection of servers that lose or repeat messages."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli.test_cli import environment, timim
from tests.support.paths import MUTANTS
from timim.testing import RunningServer, running_server

# the number of unacknowledged messages does not depend on the speed of the machine
SMALL = ("--users", "6", "--seconds", "1", "--in-flight", "64")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RunningServer]:
    async with running_server(data_dir=tmp_path / "server", group_messages_per_s=0) as running:
        yield running


def key_of(server: RunningServer) -> dict[str, str]:
    return {"TIMIM_URL": server.url, "TIMIM_APP_ID": str(server.app_id), "TIMIM_SECRET_KEY": server.secret_key}


async def measured(server: RunningServer, folder: Path, *words: str, code: int = 0) -> dict[str, Any]:
    said = await timim(folder, "bench", "--json", *words, **key_of(server))
    assert said.code == code, said
    report: dict[str, Any] = json.loads(said.out)
    return report


@pytest.mark.parametrize("kept", [(), ("--on-disk",)])
async def test_every_message_is_accounted_for(server: RunningServer, tmp_path: Path, kept: tuple[str, ...]) -> None:
    """Test with 6 users, each of whom sends to 2 others and to a group of 4."""
    report = await measured(server, tmp_path, *SMALL, "--groups", "1", "--members", "4", "--processes", "2", *kept)
    assert (report["lost"], report["repeated"], report["disordered"], report["refused"]) == (0, 0, 0, {})
    assert report["sent"] > 0
    assert report["sent"] < report["delivered"] < 3 * report["sent"]
    for times in (report["ack_ms"], report["delivery_ms"], report["logins_each_ms"]):
        assert 0 < times["p50"] <= times["p90"] <= times["p99"] <= times["longest"]


async def test_a_rate_is_kept(server: RunningServer, tmp_path: Path) -> None:
    report = await measured(server, tmp_path, "--users", "4", "--seconds", "2", "--rate", "30", "--processes", "2")
    assert 0 < report["sent"] <= 30 * report["seconds"] + 2  # each process may send one more message


async def test_a_storm_loses_nothing_and_reports_its_time(server: RunningServer, tmp_path: Path) -> None:
    words = ("--users", "100", "--seconds", "2", "--rate", "200", "--storm", "100", "--processes", "2")
    report = await measured(server, tmp_path, *words)
    assert (report["lost"], report["repeated"], report["disordered"]) == (0, 0, 0)
    (storm,) = report["storms"]
    assert (storm["cut"], storm["back"]) == (100, 100)
    assert storm["seconds"] * 1000 >= storm["each_ms"]["p50"] > 0
    assert report["sent"] == report["delivered"]


@pytest.mark.parametrize("mutant, found", [("acks_in_vain", "lost"), ("stores_twice", "repeated")])
async def test_a_server_that_loses_or_repeats_is_detected(
    server: RunningServer, tmp_path: Path, mutant: str, found: str
) -> None:
    server.program = (str(MUTANTS / f"{mutant}.py"),)
    await server.restart()
    report = await measured(server, tmp_path, *SMALL, "--settle", "1", code=1)
    assert report[found] > 0
    assert bool(report["lost_examples"]) == (report["lost"] > 0)


async def test_rate_limited_messages_are_reported_as_refused_not_lost(tmp_path: Path) -> None:
    async with running_server(data_dir=tmp_path / "server", group_messages_per_s=5, group_burst_s=1) as server:
        report = await measured(server, tmp_path, *SMALL, "--peers", "0", "--groups", "1", "--members", "3")
    assert report["refused"]["10023"] > 0
    assert report["lost"] == 0
    assert report["sent"] * 2 == report["delivered"]


async def test_ctrl_c_prints_the_measurements_so_far(server: RunningServer, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "timim.cli", "bench", "--users", "4", "--seconds", "600", "--storm", "2"),
        cwd=tmp_path,
        env=environment(PYTHONUNBUFFERED="1", **key_of(server)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    while b"logged in" not in (line := await process.stdout.readline()):
        assert line, "the program ended without logging in"
    process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    assert (process.returncode, err) == (130, b"")
    assert b"lost 0, repeated 0" in out


async def test_an_impossible_option_is_one_clear_line(server: RunningServer, tmp_path: Path) -> None:
    key = key_of(server)

    async def refusal(*words: str, **more: str) -> str:
        return (await timim(tmp_path, "bench", *words, **key | more)).refusal

    assert "members must be 2 to 5 for 5 users, not 10" in await refusal("--users", "5", "--groups", "1")
    assert "peers and groups are both 0" in await refusal("--peers", "0")
    assert "storms must cut 1 to 100 clients" in await refusal("--storm", "101")
    assert "cannot connect to ws://127.0.0.1:1" in await refusal(TIMIM_URL="ws://127.0.0.1:1")
    assert "code 7000" in await refusal(TIMIM_SECRET_KEY="another key")
    assert "no app key in" in await refusal(TIMIM_APP_ID="0", TIMIM_SECRET_KEY="")

"""Schemathesis judges the REST API by its OpenAPI description: no HTTP 500, and no reply that is not described.

`make soak` draws fifty requests of each command, and the values at the borders of each field beside them.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.mutants.breaks_description import FAILS, LIES
from tests.support.program_server import server_of
from tests.support.request_fields import MEMBER, PEER, SELF
from tests.support.rest import RestClient
from timim.server.endpoints.openapi import openapi
from timim.server.handlers import ALL_HANDLERS
from timim.testing import RunningServer

SEED = 20261128
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
REPLIES = re.compile(r'timim_rest_requests_total\{code="(\d+)",command="(.+)"\} (\d+)')
INTERNAL, LIMIT_S = 60002, 60.0


async def judge(server: RunningServer, folder: Path, *options: str, limit_s: float = LIMIT_S) -> tuple[int, str]:
    """Run schemathesis with a fixed seed, and return its exit status and its report."""
    async with RestClient(server) as rest:
        query = rest.query()
    config = folder / "schemathesis.toml"
    config.write_text("[parameters]\n" + "".join(f'"query.{name}" = "{value}"\n' for name, value in query.items()))
    command = (
        str(Path(sys.executable).with_name("st")),
        "--config-file",
        str(config),
        "run",
        "--seed",
        str(SEED),
        "--checks",
        CHECKS,
    )
    url = server.url.replace("ws", "http", 1) + "/v4/openapi.json"
    process = await asyncio.create_subprocess_exec(
        *command, *options, url, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(limit_s):
            report, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, report.decode()


async def replies(server: RunningServer) -> Counter[tuple[str, int]]:
    """Return the number of replies by command and code."""
    async with RestClient(server) as rest:
        metrics = await rest.get("/metrics")
    return Counter({(command, int(code)): int(count) for code, command, count in REPLIES.findall(metrics)})


async def check(server: RunningServer, folder: Path, *options: str, limit_s: float = LIMIT_S) -> None:
    """Check that schemathesis finds no fault, and that its requests reached the commands."""
    code, report = await judge(server, folder, *options, limit_s=limit_s)
    assert code == 0, report
    counts = await replies(server)
    paths = (path.removeprefix("/v4/").replace("/", ".") for path in openapi(ALL_HANDLERS)["paths"])
    commands = {command.name for path in paths if (command := ALL_HANDLERS.rest_command(path)) is not None}
    assert {command for command, _ in counts} >= commands
    assert [command for command, code in counts if code == INTERNAL] == []
    assert len({command for command, code in counts if code == 0}) > len(commands) / 4  # the requests are not all refused


async def test_schemathesis_finds_no_undescribed_reply(tmp_path: Path) -> None:
    async with server_of((), tmp_path / "server", settings={}, users=(SELF, PEER, MEMBER)) as server:
        await check(server, tmp_path, "--phases", "fuzzing", "--max-examples", "1")


@pytest.mark.soak
async def test_schemathesis_finds_no_undescribed_reply_at_the_borders(tmp_path: Path) -> None:
    async with server_of((), tmp_path / "server", settings={}, users=(SELF, PEER, MEMBER)) as server:
        await check(server, tmp_path, "--phases", "coverage,fuzzing", "--max-examples", "50", limit_s=3600)


async def test_a_reply_that_is_not_described_is_detected(tmp_path: Path) -> None:
    program = ("-m", "tests.mutants.breaks_description")
    paths = "|".join((FAILS, LIES)).replace(".", "/")
    async with server_of(program, tmp_path / "server", settings={}, users=(SELF, PEER, MEMBER)) as server:
        code, report = await judge(
            server, tmp_path, "--phases", "fuzzing", "--max-examples", "1", "--no-shrink", "--include-path-regex", paths
        )
    assert code == 1, report
    assert "Server error" in report
    assert "Response violates schema" in report

"""Tests of many clients that are disconnected and reconnect at once: all come back, and no message is lost."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest

from tests.integration.loadtest.test_bench_command import measured
from tests.support.backing_services import Nats
from tests.support.deployment import THIS, deployment
from timim.server.social.entity_cache import EntityCache
from timim.server.store.base import StoredAccount
from timim.testing import VirtualClock, local_server


@pytest.mark.timeout(180)
async def test_a_storm_on_two_gateways_loses_nothing(database: Callable[[], str], nats_server: Nats, tmp_path: Path) -> None:
    """Test with 100 clients, some of them in groups. `make bench-cluster` does the same with 2,000."""
    async with deployment(THIS, THIS, database=database(), bus=nats_server.url) as running:
        here, there = running.gateways
        words = ("--url", here.url, "--url", there.url, "--processes", "2", "--users", "100", "--rate", "100", "--seconds", "3")
        report = await measured(here, tmp_path, *words, "--groups", "3", "--members", "10", "--storm", "100")
    assert report["urls"] == 2
    assert (report["lost"], report["repeated"], report["disordered"], report["refused"]) == (0, 0, 0, {})
    assert (report["storms"][0]["cut"], report["storms"][0]["back"]) == (100, 100)


def test_login_time_excludes_the_time_the_client_waited() -> None:
    ensure_account, slow_s = EntityCache.ensure_account, 3.0

    async def slowly(self: EntityCache, user: str, **given: str) -> StoredAccount:
        await asyncio.sleep(slow_s)  # like a database under thousands of logins
        return await ensure_account(self, user, **given)

    async def main() -> None:
        async with local_server(clock, login_timeout_s=1.0) as server:
            with patch.object(EntityCache, "ensure_account", slowly):
                async with server.client("alice") as alice:
                    assert alice.engine.connection.online

    clock = VirtualClock()
    clock.run(main())
    assert clock.monotonic() > slow_s


def test_the_limit_of_open_files_is_raised_and_never_lowered() -> None:
    program = """
import resource
from timim.util.rlimit import raise_nofile_limit
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 1024 if hard == resource.RLIM_INFINITY else min(hard, 1024)))
for wanted in (128, 64, None, 10**6):
    print(raise_nofile_limit(wanted))
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert said.stdout.split() == ["128", "128", "1024", "1024", "1024"]

"""The server that the checks of hostile peers have to fail on."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from timim.testing import RunningServer, running_server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def unbounded() -> AsyncIterator[RunningServer]:
    """Start a server that lets its peers do what they want: each check of a bound has to fail there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunningServer, "program", ("-m", "tests.mutants.no_bounds"))
        entered = running_server(login_timeout_s=60, close_s=60)
        server = await entered.__aenter__()
    try:
        yield server
    finally:
        await server.crash()
        await entered.__aexit__(None, None, None)

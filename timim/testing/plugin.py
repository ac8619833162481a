"""pytest plugin: the fixture `timim_server` is a running server, a fresh one for each test that asks."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Offer `timim_server` where pytest-asyncio is there to run it."""
    if config.pluginmanager.hasplugin("asyncio"):
        config.pluginmanager.register(_Fixtures(), "timim-fixtures")


class _Fixtures:
    @pytest.fixture
    async def timim_server(self) -> AsyncIterator[object]:
        from . import running_server

        async with running_server() as server:
            yield server

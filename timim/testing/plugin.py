"""pytest plugin with the fixture `timim_server`, a new running server for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Register the fixture `timim_server` if pytest-asyncio is installed, because the fixture needs that plugin."""
    if config.pluginmanager.hasplugin("asyncio"):
        config.pluginmanager.register(_Fixtures(), "timim-fixtures")


class _Fixtures:
    @pytest.fixture
    async def timim_server(self) -> AsyncIterator[object]:
        from . import running_server

        async with running_server() as server:
            yield server

"""pytest plugin with the fixture `timim_server`, a new running server for each test.

The fault proxy of a server runs in the event loop of its test. So each loop scope of pytest-asyncio has an async fixture, and
anyio has one; `timim_server` selects the one that runs in the loop of its test.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal, NoReturn, TypeAlias, get_args

import pytest

_Scope: TypeAlias = Literal["function", "class", "module", "package", "session"]


def pytest_configure(config: pytest.Config) -> None:
    """Register the fixtures that run in the loops of pytest-asyncio, if that plugin is installed and active."""
    if config.pluginmanager.hasplugin("asyncio"):
        fixtures = {f"_timim_server_{scope}": _asyncio_fixture(scope) for scope in get_args(_Scope)}
        config.pluginmanager.register(type("AsyncioFixtures", (), fixtures)(), "timim-asyncio-fixtures")


@pytest.fixture
def timim_server(request: pytest.FixtureRequest) -> object:
    """Start a new server, which ends with the test: a `timim.testing.RunningServer`."""
    return request.getfixturevalue(_fixture_name(request))


@pytest.fixture
async def _timim_server_anyio() -> AsyncIterator[object]:
    from . import running_server

    async with running_server() as server:
        yield server


def _asyncio_fixture(scope: _Scope) -> object:
    """Make a fixture of pytest-asyncio, which needs its own decorator unless its mode is auto."""
    import pytest_asyncio

    @pytest_asyncio.fixture(loop_scope=scope)
    async def serve(self: object) -> AsyncIterator[object]:
        from . import running_server

        async with running_server() as server:
            yield server

    return serve


def _fixture_name(request: pytest.FixtureRequest) -> str:
    """Return the name of the fixture that runs in the loop of the requesting test."""
    marker = request.node.get_closest_marker("asyncio")
    if "anyio_backend" in request.fixturenames:
        if marker is not None:
            _refuse("pytest-asyncio and anyio both claim the test; set asyncio_mode = strict, or remove the mark anyio")
        if request.getfixturevalue("anyio_backend_name") != "asyncio":
            _refuse("timim runs on asyncio only; give the test a fixture anyio_backend that returns 'asyncio'")
        return "_timim_server_anyio"
    if not request.config.pluginmanager.hasplugin("asyncio"):
        _refuse("timim_server needs an event loop; run pip install pytest-asyncio, or mark the test with pytest.mark.anyio")
    scope = marker and marker.kwargs.get("loop_scope")
    return f"_timim_server_{scope or request.config.getini('asyncio_default_test_loop_scope') or 'function'}"


def _refuse(reason: str) -> NoReturn:
    pytest.fail(reason, pytrace=False)

"""A server in the test's own loop: for virtual time, and for tests that make many.

It is the same server with another clock. It cannot be killed, and its disk is not synced; `running_server` is for that.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..client import Client
from ..errors import InvalidArgument
from ..usersig import sign_user
from .clocks import VirtualClock, WallClock
from .fault_proxy import Faults
from .server import APP_ID, SECRET_KEY, check_settings

if TYPE_CHECKING:
    from ..server.app import Server


class LocalServer:
    """As RunningServer, without `crash` and `wait_for_exit`. `clock` is what it tells the time by."""

    def __init__(self, folder: Path, clock: VirtualClock | WallClock, settings: dict[str, object]) -> None:
        self.app_id, self.secret_key = APP_ID, SECRET_KEY
        self.folder = folder
        self.clock = clock
        self.faults = Faults()
        self._given: dict[str, Any] = {"synchronous": "OFF", **settings}  # no power is cut here
        self._given |= {"data_dir": folder, "app_id": APP_ID, "secret_key": SECRET_KEY}
        self._port = 0
        self._server: Server | None = None

    @property
    def url(self) -> str:
        """Where it listens; past the faults."""
        assert self._server is not None
        return self._server.url

    def client(self, user_id: str, *, data_dir: str | Path = ":memory:", **options: Any) -> Client:
        """A Client signed and pointed at this server, not yet logged in; it lives by the server's clock unless told."""
        signature = sign_user(self.app_id, self.secret_key, user_id, now=self.clock.now())
        options = {"now": self.clock.now} | options
        return Client(self.faults.url, app_id=self.app_id, user_id=user_id, user_sig=signature, data_dir=data_dir, **options)

    async def add_users(self, *user_ids: str) -> None:
        """Make accounts: each logs in once and out again."""
        for user_id in user_ids:
            async with self.client(user_id):
                pass

    async def start(self) -> None:
        """Start, on the same port as before."""
        server = await asyncio.to_thread(self._create)
        await server.start()
        self._server, self._port = server, server.port
        await self.faults.start(server.url)

    def _create(self) -> Server:
        """Importing it and reading its settings touches the disk."""
        from ..server.app import Server
        from ..server.settings import Settings

        return Server(Settings(**self._given | {"port": self._port}), now=self.clock.now)

    async def stop(self) -> None:
        """It drains and ends."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop()

    async def restart(self) -> None:
        """Stop, and start again on the same data and port."""
        await self.stop()
        await self.start()


@asynccontextmanager
async def local_server(
    clock: VirtualClock | WallClock | None = None, *, data_dir: Path | None = None, **settings: object
) -> AsyncIterator[LocalServer]:
    """A real server in this loop, on a free port of loopback. Keyword arguments are its settings."""
    await asyncio.to_thread(check_settings, settings)
    if isinstance(clock, VirtualClock) and not clock.drives(asyncio.get_running_loop()):
        raise InvalidArgument("a VirtualClock needs its own loop: VirtualClock().run(main())")
    folder = data_dir or Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="timim-test-"))
    server = LocalServer(folder, clock or WallClock(), dict(settings))
    try:
        await server.start()
        yield server
    finally:
        try:
            await server.faults.stop()
            await server.stop()
        finally:
            if data_dir is None:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

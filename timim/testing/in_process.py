"""A server in the event loop of the test, for virtual time and for tests that need many servers.

Unlike the server of `running_server`, this server cannot be killed, and it does not sync its files to disk.
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
from .server import APP_ID, GENEROUS, SECRET_KEY, check_settings

if TYPE_CHECKING:
    from ..server.app import Server


class LocalServer:
    """A server in this event loop, which `local_server` creates. It has no `crash` and no `wait_for_exit`.

    Attributes:
        app_id: The app id of the server.
        secret_key: The key that signs its users.
        folder: The folder of the server's data.
        clock: The clock of the server.
        faults: The fault proxy.
    """

    def __init__(self, folder: Path, clock: VirtualClock | WallClock, settings: dict[str, object]) -> None:
        self.app_id: int = APP_ID
        self.secret_key: str = SECRET_KEY
        self.folder = folder
        self.clock = clock
        self.faults: Faults = Faults()
        self._given: dict[str, Any] = {"synchronous": "OFF", **GENEROUS, **settings}  # the tests cut no power
        self._given |= {"data_dir": folder, "app_id": APP_ID, "secret_key": SECRET_KEY}
        self._port = 0
        self._server: Server | None = None

    @property
    def url(self) -> str:
        """URL of the server itself, without the fault proxy."""
        assert self._server is not None
        return self._server.url

    def client(self, user_id: str, *, data_dir: str | Path = ":memory:", **options: Any) -> Client:
        """Create a client that connects through the fault proxy, and is not logged in yet.

        Args:
            user_id: User id of the client.
            data_dir: Folder of the client's data; by default the client stores nothing.
            **options: Arguments of Client; `now` is by default the server's clock, and the server's key makes `user_sig`.

        Raises:
            InvalidArgument: An argument of Client is invalid.
        """
        signature = sign_user(self.app_id, self.secret_key, user_id, now=self.clock.now())
        options.setdefault("now", self.clock.now)
        options.setdefault("user_sig", signature)
        return Client(self.faults.url, app_id=self.app_id, user_id=user_id, data_dir=data_dir, **options)

    async def add_users(self, *user_ids: str) -> None:
        """Create accounts, by logging each of them in and out once.

        Args:
            *user_ids: The user ids.

        Raises:
            ConnectionFailed: The server does not run, or a fault cut the connection.
        """
        for user_id in user_ids:
            async with self.client(user_id):
                pass

    async def start(self) -> None:
        """Start the server, on the same port as before.

        Raises:
            PortInUse: Another program has taken the port.
            StorageError: The data folder cannot be used.
        """
        server = await asyncio.to_thread(self._create)
        await server.start()
        self._server, self._port = server, server.port
        await self.faults.start(server.url)

    def _create(self) -> Server:
        """Create the server. The call blocks on the disk to import the server and to read its settings."""
        from ..server.app import Server
        from ..server.settings import Settings

        return Server(Settings(**self._given | {"port": self._port}), now=self.clock.now)

    async def stop(self) -> None:
        """Stop the server after its requests in progress; does nothing if the server does not run."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop()

    async def restart(self) -> None:
        """Stop the server, and start it again on the same data and port.

        Raises:
            PortInUse: Another program has taken the port.
            StorageError: The data folder cannot be used.
        """
        await self.stop()
        await self.start()


@asynccontextmanager
async def local_server(
    clock: VirtualClock | WallClock | None = None, *, data_dir: Path | None = None, **settings: object
) -> AsyncIterator[LocalServer]:
    """Run a server in this event loop, on a free port of loopback.

    Args:
        clock: The clock of the server, and of the loop if it is a VirtualClock; by default a WallClock.
        data_dir: Folder of the server's data; by default a temporary one.
        **settings: The server's settings, such as `max_message_bytes=1000`; see `timim.server.Settings`.

    Raises:
        InvalidArgument: A setting is unknown, the extra `server` is not installed, or `clock` is a VirtualClock that this
            loop does not use.
        StoreInUse: Another server uses `data_dir`.
        StorageError: The data folder cannot be used.
    """
    await asyncio.to_thread(check_settings, settings)
    if isinstance(clock, VirtualClock) and not clock.drives(asyncio.get_running_loop()):
        raise InvalidArgument("a VirtualClock needs its own loop; use VirtualClock().run(main())")
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

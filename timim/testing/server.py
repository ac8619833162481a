"""A real server in its own process, on a free port of loopback. Its temporary data are deleted at the end.

The process runs the same program as `timim serve`.
"""

from __future__ import annotations

import asyncio
import difflib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from timim import Client, ConnectionFailed, InvalidArgument, sign_user

from ..util import clock
from ..util.failpoints import FAILPOINTS, VARIABLE, Failpoint
from .clocks import WallClock
from .fault_proxy import Faults
from .webhooks import TOKEN, WebhookRecorder, webhook_recorder

APP_ID = 1_400_000_001
SECRET_KEY = "a key for tests only, which guards nothing"  # noqa: S105
GENEROUS: Mapping[str, object] = {  # a test sends faster than a person; a test of the limits sets its own
    "connections_per_address": 0,  # all clients have one address
    "connections_per_subnet": 0,
    "new_connections_per_s": 0,
    "violation_pause_s": 0,
    "requests_before_login": 10_000,
    "media_receiving_per_address": 0,
    "requests_in_flight_shared": 256,
    "user_requests_per_s": 100_000,
    "user_bytes_per_s": 1 << 30,
    "stranger_messages_per_min": 6_000_000,
    "stranger_burst": 1_000_000,
}
START_LIMIT_S = 30.0
STOP_LIMIT_S = 15.0


class ServerProcess(Protocol):
    """A running program, with the interface of `asyncio.subprocess.Process`."""

    pid: int
    stdout: asyncio.StreamReader | None

    @property
    def returncode(self) -> int | None:
        """Exit status, or None while the process runs."""
        ...

    def send_signal(self, number: int, /) -> None:
        """Send a signal to the process."""
        ...

    def kill(self) -> None:
        """Send SIGKILL to the process."""
        ...

    async def wait(self) -> int:
        """Wait for the end of the process, and return its exit status."""
        ...

    async def communicate(self) -> tuple[bytes, bytes | None]:
        """Read the output until the process ends."""
        ...


async def spawn(program: Sequence[str], environment: Mapping[str, str]) -> ServerProcess:
    """Start a Python program in a new interpreter, with standard output and standard error in one pipe."""
    return await asyncio.create_subprocess_exec(
        sys.executable, *program, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=environment
    )


class BackendSettings:
    """Databases and processes of the test servers of this run.

    Attributes:
        settings_of: None if each server uses a file in its folder. Otherwise a function that returns the settings for a folder,
            and each test server has two gateways.
        launch: Function that starts the process of a server.
    """

    settings_of: Callable[[Path], Mapping[str, object]] | None = None
    launch: Callable[[Sequence[str], Mapping[str, str]], Awaitable[ServerProcess]] = staticmethod(spawn)


BACKEND = BackendSettings()


class RunningServer:
    """A server in its own process, which `running_server` creates. Clients connect through the fault proxy.

    Attributes:
        app_id: The app id of the server.
        secret_key: The key that signs its users.
        folder: The folder of the server's data.
        url: URL of the server itself, without the fault proxy.
        faults: The fault proxy.
        clock: The server's wall clock; `clock.jump(-3600)` sets the clock back by an hour while the server runs.
    """

    program: Sequence[str] = ("-m", "timim.cli")  # arguments of Python; tests of mutants change them

    def __init__(self, folder: Path, settings: Mapping[str, object]) -> None:
        self.app_id = APP_ID
        self.secret_key = SECRET_KEY
        self.folder = folder
        self.url: str = ""
        self.faults: Faults = Faults()
        self.clock: WallClock = WallClock()
        self._recorder: WebhookRecorder | None = None
        self._settings = dict(settings)
        self._port = 0
        self._process: ServerProcess | None = None
        self._companion: RunningServer | None = None  # a second gateway; clients connect to the two in turns

    @property
    def urls(self) -> list[str]:
        """URLs of all gateways without the fault proxy; tests on a cluster have two gateways, others one."""
        return [self.url] if self._companion is None else [self.url, self._companion.url]

    @property
    def webhooks(self) -> WebhookRecorder:
        """The callbacks that the server has made; `running_server(webhook_commands=…)` without `webhook_url` records them.

        Raises:
            InvalidArgument: The server makes its callbacks to another back end, or none.
        """
        if self._recorder is None:
            raise InvalidArgument("the server records no webhooks; start it with webhook_commands and without webhook_url")
        return self._recorder

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        assert self._process is not None
        return self._process.pid

    def client(self, user_id: str, *, data_dir: str | Path = ":memory:", **options: Any) -> Client:
        """Create a client that connects through the fault proxy, and is not logged in yet.

        Args:
            user_id: User id of the client.
            data_dir: Folder of the client's data; by default the client stores nothing.
            **options: Arguments of Client; by default the server's key makes `user_sig`.

        Raises:
            InvalidArgument: An argument of Client is invalid.
        """
        signature = sign_user(self.app_id, self.secret_key, user_id, now=self.clock.now())
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

    async def start(self, *, crash_at: Failpoint | None = None, count: int = 1) -> None:
        """Start the server, on the same port as before.

        Args:
            crash_at: Failpoint at which the server kills itself by SIGKILL; `wait_for_exit()` waits for the end.
            count: Number of times that the failpoint is reached until the server kills itself.

        Raises:
            ConnectionFailed: The server did not start; the error contains the server's output.
            TimeoutError: The server did not listen within 30 s.
            InvalidArgument: There is no such failpoint, or `count` is less than 1.
        """
        if crash_at is not None:
            require_known(crash_at, FAILPOINTS, "failpoint")
        if count < 1:
            raise InvalidArgument(f"count must be 1 (the first time that the failpoint is reached) or more, not {count}")
        shared = BACKEND.settings_of
        settings = self._settings | dict(await asyncio.to_thread(shared, self.folder) if shared is not None else {})
        await self._spawn(settings, crash_at, count)
        urls = [self.url]
        if shared is not None and crash_at is None:
            self._companion = self._companion or RunningServer(self.folder, {})
            self._companion.program = self.program
            public = {"public_url": self.url.replace("ws", "http", 1)}  # all gateways use one URL for content
            await self._companion._spawn({**public, **settings}, None, 1)
            urls.append(self._companion.url)
        await self.faults.start(*urls)

    async def _spawn(self, settings: Mapping[str, object], crash_at: Failpoint | None, count: int) -> None:
        environment = os.environ | {
            VARIABLE: f"{crash_at}:{count}" if crash_at else "",
            clock.VARIABLE: str(await asyncio.to_thread(self._clock_file)),
            "TIMIM_APP_ID": str(self.app_id),
            "TIMIM_SECRET_KEY": self.secret_key,
            **{f"TIMIM_{name.upper()}": str(value) for name, value in {**GENEROUS, **settings}.items()},
        }
        options = ("--port", str(self._port), "--data-dir", str(self.folder), "--plain")
        self._process = await BACKEND.launch((*self.program, "serve", *options), environment)
        assert self._process.stdout is not None
        said = ""
        async with asyncio.timeout(START_LIMIT_S):
            while line := (await self._process.stdout.readline()).decode():
                said += line
                if line.startswith("listening on "):
                    self.url = line.removeprefix("listening on ").strip()
                    self._port = int(self.url.rpartition(":")[2])
                    return
        raise ConnectionFailed(f"the server did not start: {said.strip()}")

    async def stop(self) -> int:
        """Stop the server by SIGTERM, and return its exit status, or 0 if the server did not run.

        Raises:
            TimeoutError: The server did not end within 15 s, and was killed.
        """
        return await self._terminate(signal.SIGTERM)

    async def crash(self) -> None:
        """Kill the server by SIGKILL; does nothing if the server does not run."""
        await self._terminate(signal.SIGKILL)

    async def restart(self, *, crash_at: Failpoint | None = None, count: int = 1) -> None:
        """Stop the server if it runs, and start it again on the same data and port.

        Args:
            crash_at: Failpoint at which the server kills itself; see `start`.
            count: Number of times that the failpoint is reached; see `start`.

        Raises:
            ConnectionFailed: The server did not start; the error contains the server's output.
            TimeoutError: The server did not end within 15 s, or did not listen within 30 s.
            InvalidArgument: There is no such failpoint, or `count` is less than 1.
        """
        await self.stop()
        await self.start(crash_at=crash_at, count=count)

    async def wait_for_exit(self, *, timeout: float = START_LIMIT_S) -> None:
        """Wait until the server has killed itself at its failpoint.

        Args:
            timeout: Seconds to wait.

        Raises:
            TimeoutError: The server still runs after `timeout` seconds.
        """
        assert self._process is not None
        async with asyncio.timeout(timeout):
            await self._process.wait()
        await self._terminate(signal.SIGKILL)

    async def _terminate(self, how: signal.Signals) -> int:
        if self._companion is not None:
            await self._companion._terminate(how)
        process, self._process = self._process, None
        if process is None:
            return 0
        if process.returncode is None:
            process.send_signal(how)
        try:
            async with asyncio.timeout(STOP_LIMIT_S):
                await process.communicate()
        except TimeoutError:
            process.kill()
            await process.communicate()
            raise
        assert process.returncode is not None
        return process.returncode

    def _clock_file(self) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.clock.share(path := self.folder / "clock")
        return path

    def __repr__(self) -> str:
        return f"<RunningServer {self.url}{'' if self._process else ' stopped'}>"


def require_known(name: str, names: Iterable[str], noun: str) -> None:
    """Check that a name is one of `names`.

    Args:
        name: The name.
        names: The known names.
        noun: Noun that the error text uses for a name.

    Raises:
        InvalidArgument: The name is unknown; the error suggests the most similar name.
    """
    names = tuple(names)
    if name not in names:
        like = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {like[0]!r}?" if like else f"there are {', '.join(names)}"
        raise InvalidArgument(f"there is no {noun} {name!r}: {hint}")


def check_settings(settings: Mapping[str, object]) -> None:
    """Check that the server knows all settings, because it ignores unknown environment variables.

    Raises:
        InvalidArgument: A setting has an unknown name; the error suggests a similar one. Or the server is not installed.
    """
    try:
        from ..server.settings import Settings
    except ModuleNotFoundError as exc:
        raise InvalidArgument(f"a test server needs the package {exc.name}; run pip install 'timim[server]'") from None

    for name in settings:
        require_known(name, Settings.model_fields, "setting")


@asynccontextmanager
async def running_server(*, data_dir: Path | None = None, **settings: object) -> AsyncIterator[RunningServer]:
    """Run a server in its own process, on a free port of loopback.

    Args:
        data_dir: Folder of the server's data; by default a temporary one.
        **settings: The server's settings, such as `max_message_bytes=1000`; see `timim.server.Settings`. With
            `webhook_commands` and without `webhook_url`, `server.webhooks` records the callbacks.

    Raises:
        InvalidArgument: A setting is unknown, or the extra `server` is not installed.
        ConnectionFailed: The server did not start; the error contains the server's output.
        TimeoutError: The server did not listen within 30 s.
    """
    await asyncio.to_thread(check_settings, settings)
    folder = data_dir or Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="timim-test-"))
    async with AsyncExitStack() as parts:
        recorder: WebhookRecorder | None = None
        if settings.get("webhook_commands") and not settings.get("webhook_url"):
            recorder = await parts.enter_async_context(webhook_recorder())
            settings |= {"webhook_url": recorder.url, "webhook_token": TOKEN}
        server = RunningServer(folder, settings)
        server._recorder = recorder
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

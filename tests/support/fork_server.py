"""Fast start of Python programs: they are forked from a process that has imported the needed packages.

A server needs more than a second of CPU time to import its packages and modules, and the tests start hundreds of servers. The
fork server imports them once. A program other than `timim`, a mutant for example, imports the modules of the server again,
because it changes them. Programs with interpreter options or `-c` cannot be forked: `launch` starts them as new processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.paths import ROOT
from timim.testing.server import ServerProcess, spawn

ADDRESS = "FORK_SERVER_ADDRESS"
CONFTEST = """
from tests.support.fork_server import FORK_SERVER
from timim.testing.server import BACKEND

BACKEND.launch = FORK_SERVER.launch


def pytest_unconfigure():
    FORK_SERVER.close()
"""


class ExitStatus(asyncio.Protocol):
    """The exit status of a forked process, read from a pipe of the fork server. `ended` is resolved when it arrives."""

    def __init__(self) -> None:
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._text = b""

    def data_received(self, data: bytes) -> None:
        self._text += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set_result(int(self._text or b"-9"))  # no data: the fork server was killed together with all its programs


class ForkedProcess:
    """A forked program, with the interface of `asyncio.subprocess.Process`."""

    def __init__(
        self,
        pid: int,
        pidfd: int,
        status: ExitStatus,
        stdout: asyncio.StreamReader,
        stderr: asyncio.StreamReader | None = None,
    ) -> None:
        self.pid = pid
        self.stdout: asyncio.StreamReader | None = stdout
        self.stderr = stderr
        self._pidfd = pidfd
        self._status = status
        status.ended.add_done_callback(lambda _: os.close(self._pidfd))

    @property
    def returncode(self) -> int | None:
        """Return the exit status, the negated number of the signal that ended the process, or None while the process runs."""
        return self._status.ended.result() if self._status.ended.done() else None

    def send_signal(self, number: int, /) -> None:
        """Send a signal. Raises ProcessLookupError if the process has ended."""
        if self._status.ended.done():
            raise ProcessLookupError
        with contextlib.suppress(ProcessLookupError):  # the process has just ended
            signal.pidfd_send_signal(self._pidfd, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    async def wait(self) -> int:
        return await asyncio.shield(self._status.ended)

    async def communicate(self) -> tuple[bytes, bytes | None]:
        """Wait for the end. Return the rest of the output, and of the errors if they have a separate pipe."""
        assert self.stdout is not None
        if self.stderr is None:
            said, errors = await self.stdout.read(), None
        else:
            said, errors = await asyncio.gather(self.stdout.read(), self.stderr.read())
        await self.wait()
        return said, errors


class ForkServer:
    """The process that forks programs. It starts with the first program, and ends with all of them at `close()`.

    A test that runs pytest gives it the environment of `shared()`: servers of that pytest are then forked from the process of
    this one, if it has the conftest.py `CONFTEST` and can import `tests`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        # in the kernel's namespace of abstract sockets
        self._address = os.environ.get(ADDRESS) or f"timim-fork-server-{uuid.uuid4().hex}"

    def shared(self) -> dict[str, str]:
        """Start the process, and return the environment in which another process uses it."""
        with self._lock:
            self._control = self._control or self._begin()
        return {ADDRESS: self._address}

    async def launch(self, program: Sequence[str], environment: Mapping[str, str]) -> ServerProcess:
        """Start a Python program, given as `-m module` or a file, with its arguments. Output and errors share one pipe."""
        if program[0] == "-c":
            return await spawn(program, environment)
        output, output_end = os.pipe()
        status, status_end = os.pipe()
        forked = await self._fork(program, environment, None, output_end, output_end, status_end)
        return ForkedProcess(*forked, await _exit_status(status), await _reader(output))

    async def start(self, program: Sequence[str], environment: Mapping[str, str], folder: Path) -> ForkedProcess:
        """Start a program as `launch` does, in this folder, with a separate pipe for its errors."""
        output, output_end = os.pipe()
        errors, errors_end = os.pipe()
        status, status_end = os.pipe()
        forked = await self._fork(program, environment, folder, output_end, errors_end, status_end)
        return ForkedProcess(*forked, await _exit_status(status), await _reader(output), await _reader(errors))

    def close(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.wait()

    async def _fork(
        self, program: Sequence[str], environment: Mapping[str, str], folder: Path | None, *ends: int
    ) -> tuple[int, int]:
        """Fork a program, and return its pid and a descriptor of the process."""
        order: dict[str, object] = {"program": list(program), "environment": dict(environment)}
        return await asyncio.to_thread(self._order, order, folder, ends)

    def _order(self, order: dict[str, object], folder: Path | None, ends: Sequence[int]) -> tuple[int, int]:
        order["folder"] = str(folder or Path.cwd())
        with self._lock:
            control = self._control = self._control or self._begin()
            socket.send_fds(control, [json.dumps(order).encode()], list(ends))
            for end in set(ends):
                os.close(end)
            pid, (pidfd,), _, _ = socket.recv_fds(control, 32, 1)
            return int(pid), pidfd

    def _begin(self) -> socket.socket:
        if ADDRESS in os.environ:
            control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            control.connect(f"\0{self._address}")
            return control
        control, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other, listener:
            listener.bind(f"\0{self._address}")
            listener.listen()
            ends = (other.fileno(), listener.fileno())
            command = [sys.executable, "-m", "tests.support.forked_programs", *map(str, ends)]
            self._process = subprocess.Popen(command, pass_fds=ends, cwd=ROOT, start_new_session=True)
        return control


async def _reader(pipe: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, os.fdopen(pipe, "rb", buffering=0))
    return reader


async def _exit_status(pipe: int) -> ExitStatus:
    status = ExitStatus()
    await asyncio.get_running_loop().connect_read_pipe(lambda: status, os.fdopen(pipe, "rb", buffering=0))
    return status


FORK_SERVER = ForkServer()

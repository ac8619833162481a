"""Python programs that start at once: forked from a process that has already imported the packages they need.

A server needs more than a second of a processor to import third-party packages and the client, and the tests start hundreds.
The nursery imports those once; a program's own code, the server's and a mutant's, is imported by the forked process as usual.
Interpreter options, and programs given as `-c`, are not for the nursery: `launch` starts them as new processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import random
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.paths import ROOT
from timim.testing.server import ServerProcess, spawn

# what `python -m timim.cli serve` imports, without the server's own modules
PRELOADED = (
    "asyncpg",
    "nats.aio.client",
    "obstore.store",
    "prometheus_client",
    "starlette.applications",
    "timim.cli.main",
    "uvicorn",
)
ORDER_BYTES = 1 << 20
OWN_DESCRIPTORS = 3  # standard input, output and errors: all that a program is born with


class ForkedProcess:
    """A program that the nursery forked, as `asyncio.subprocess.Process` shows one."""

    def __init__(self, pid: int, pidfd: int, stdout: asyncio.StreamReader, status: asyncio.StreamReader) -> None:
        self.pid = pid
        self.stdout: asyncio.StreamReader | None = stdout
        self.returncode: int | None = None
        self._pidfd = pidfd
        self._ending = asyncio.create_task(self._ended(status))

    def send_signal(self, number: int, /) -> None:
        """Raises ProcessLookupError when the process has ended."""
        if self.returncode is not None:
            raise ProcessLookupError
        signal.pidfd_send_signal(self._pidfd, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    async def wait(self) -> int:
        return await asyncio.shield(self._ending)

    async def communicate(self) -> tuple[bytes, None]:
        """Wait for the end; return the rest of the output."""
        assert self.stdout is not None
        said = await self.stdout.read()
        await self.wait()
        return said, None

    async def _ended(self, status: asyncio.StreamReader) -> int:
        self.returncode = int(await status.read())
        os.close(self._pidfd)
        return self.returncode


class Nursery:
    """The process that forks programs. It starts with the first program, and ends, with all of them, at `close()`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    async def launch(self, program: Sequence[str], environment: Mapping[str, str]) -> ServerProcess:
        """Start a Python program: `-m module` or a file, and its arguments. Its output is one pipe."""
        if program[0] == "-c":
            return await spawn(program, environment)
        output, output_end = os.pipe()
        status, status_end = os.pipe()
        pid = await asyncio.to_thread(self._fork, program, environment, output_end, status_end)
        return ForkedProcess(pid, os.pidfd_open(pid), await _reader(output), await _reader(status))

    def close(self) -> None:
        if self._process is not None and self._control is not None:
            self._control.close()
            self._process.wait()

    def _fork(self, program: Sequence[str], environment: Mapping[str, str], *ends: int) -> int:
        order = json.dumps({"program": list(program), "environment": dict(environment), "folder": str(Path.cwd())}).encode()
        with self._lock:
            control = self._control or self._begin()
            socket.send_fds(control, [order], list(ends))
            for end in ends:
                os.close(end)
            return int(control.recv(32))

    def _begin(self) -> socket.socket:
        self._control, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other:
            command = [sys.executable, "-m", "tests.support.program_nursery", str(other.fileno())]
            self._process = subprocess.Popen(command, pass_fds=[other.fileno()], cwd=ROOT, start_new_session=True)
        return self._control


async def _reader(pipe: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, os.fdopen(pipe, "rb", buffering=0))
    return reader


NURSERY = Nursery()


# What follows runs in the nursery.


def tend(control: socket.socket) -> None:
    """Fork what is ordered, and report the exit status of each program, until the other side is gone."""
    statuses: dict[int, int] = {}  # the pipe of each program
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        readable, _, _ = select.select([control.fileno(), woken], [], [])
        if woken in readable:
            os.read(woken, 4096)
            _report(statuses)
        if control.fileno() in readable:
            order, descriptors, _, _ = socket.recv_fds(control, ORDER_BYTES, 2)
            if not order:
                break
            output, status = descriptors
            pid = os.fork()
            if pid == 0:
                _become(json.loads(order), output)
            os.close(output)
            statuses[pid] = status
            control.send(b"%d" % pid)
    for pid in statuses:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _report(statuses: dict[int, int]) -> None:
    while statuses:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        pipe = statuses.pop(pid)
        with contextlib.suppress(BrokenPipeError):
            os.write(pipe, b"%d" % os.waitstatus_to_exitcode(status))
        os.close(pipe)


def _become(order: dict[str, object], output: int) -> None:
    """Be the program that is ordered, as if it had been started by its name. Does not return."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.closerange(OWN_DESCRIPTORS, 1 << 16)
        random.seed()  # else every program draws the same
        code = _run(order)
    except BaseException:  # noqa: BLE001  the forked process ends here, whatever it was: it is not the nursery
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run(order: dict[str, object]) -> int:
    program, environment, folder = order["program"], order["environment"], order["folder"]
    assert isinstance(program, list)
    assert isinstance(environment, dict)
    os.chdir(str(folder))
    os.environ.clear()
    os.environ.update(environment)
    try:
        if program[0] == "-m":
            sys.argv = program[1:]
            runpy.run_module(program[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = program
            sys.path.insert(0, str(Path(program[0]).parent))
            runpy.run_path(program[0], run_name="__main__")
    except SystemExit as exc:
        if isinstance(exc.code, str):
            print(exc.code, file=sys.stderr)
        return exc.code if isinstance(exc.code, int) else int(exc.code is not None)
    return 0


def main() -> None:
    for name in PRELOADED:
        importlib.import_module(name)
    tend(socket.socket(fileno=int(sys.argv[1])))


if __name__ == "__main__":
    main()

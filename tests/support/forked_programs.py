"""The program of the fork server: it imports the packages that programs need, and forks one process for each order.

A forked program must use its own environment and not the environment of this process. Therefore a forked program imports the
modules in `READ_ENVIRONMENT` again, and makes the consoles of the command line again. The process checks `FORBIDDEN` before its
first fork.

Before it forks, the process also runs a server once and builds the commands. Otherwise a program would spend half of its start
on values that it then keeps: compiled patterns, decoders, the blank database and the parsers of the options.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import importlib
import json
import os
import random
import runpy
import select
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# `python -m timim.cli`, a server with callbacks, and clients that transfer media import these.
PRELOADED = (
    "PIL.Image",
    "anyio._backends._asyncio",
    "asyncpg",
    "httpx2",
    "nats.aio.client",
    "obstore.store",
    "prometheus_client",
    "pydantic_settings",
    "rich.console",
    "rich.markup",
    "rich.progress",
    "rich.table",
    "starlette.applications",
    "timim",
    "timim.cli.commands",
    "timim.server.app",
    "timim.server.bus.nats",
    "timim.server.store.postgres.engine",
    "typer",
    "typer._adapters",
    "uvicorn",
    "uvicorn.lifespan.off",
    "uvicorn.protocols.http.auto",
)
READ_ENVIRONMENT = ("timim.server", "timim.server.app", "timim.util.clock")  # or import one that does
FORBIDDEN = ("timim.cli.doctor", "timim.testing")
COMMAND = ["-m", "timim.cli"]
ORDER_BYTES = 1 << 20
THREADS_END_S = 10.0  # the threads of the databases end some instructions after their owners have closed them
OWN_DESCRIPTORS = 3  # standard input, output and errors: the only ones that a new program has


def tend(control: socket.socket, listener: socket.socket) -> None:
    """Fork the ordered programs and report their exit statuses, until the other side closes the control connection.

    Programs that connect to the listener may order programs too.
    """
    statuses: dict[int, int] = {}  # the pipe of each program
    orderers = {control.fileno(): control}
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        readable, _, _ = select.select([*orderers, listener.fileno(), woken], [], [])
        if woken in readable:
            os.read(woken, 4096)
            _report(statuses)
        if listener.fileno() in readable:
            accepted, _ = listener.accept()
            orderers[accepted.fileno()] = accepted
        for descriptor in orderers.keys() & set(readable):
            if not _fulfil(orderers[descriptor], statuses):
                if descriptor == control.fileno():
                    _kill_all(statuses)
                    return
                orderers.pop(descriptor).close()


def _fulfil(orderer: socket.socket, statuses: dict[int, int]) -> bool:
    """Fork the ordered program and answer with its pid. Return False if the connection was closed."""
    try:
        order, descriptors, _, _ = socket.recv_fds(orderer, ORDER_BYTES, 3)
    except ConnectionResetError:
        order, descriptors = b"", []
    if not order:
        return False
    output, errors, status = descriptors
    pid = os.fork()
    if pid == 0:
        _become(json.loads(order), output, errors)
    os.close(output)
    os.close(errors)
    statuses[pid] = status
    orderer.send(b"%d" % pid)
    return True


def _kill_all(statuses: dict[int, int]) -> None:
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


def _become(order: dict[str, object], output: int, errors: int) -> None:
    """Turn this process into the ordered program. Does not return."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs, as these tests, ignore SIGINT
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(errors, 2)
        os.closerange(OWN_DESCRIPTORS, 1 << 16)
        random.seed()  # otherwise all programs would draw the same random numbers
        code = _run(order)
    except BaseException:  # noqa: BLE001  the forked process must end here and must not go on as the fork server
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
    is_command = program[:2] == COMMAND
    _forget_modules(READ_ENVIRONMENT if is_command else {*READ_ENVIRONMENT, *_own_modules()})
    if environment.get("PYTHONUNBUFFERED"):
        sys.stdout = open(1, "w", encoding="utf-8", buffering=1, closefd=False)  # noqa: SIM115
    if is_command:
        _renew_consoles()
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


def _own_modules() -> list[str]:
    """Return the preloaded modules that a program of a test, a mutant for example, imports itself.

    Such a program changes modules of the server before others import from them.
    """
    return [name for name in sys.modules if name.startswith(("timim.server.", "timim.cli"))]


def _forget_modules(names: Iterable[str]) -> None:
    for name in names:
        del sys.modules[name]
        package, _, module = name.rpartition(".")
        if package in sys.modules:
            delattr(sys.modules[package], module)  # otherwise `from package import module` would find it there


def _renew_consoles() -> None:
    """Make the consoles of the command line again, in place: they read the environment when they are made."""
    from timim.cli import console

    type(console.out).__init__(console.out, highlight=False)
    type(console.notes).__init__(console.notes, stderr=True, highlight=False)


def warm_up() -> None:
    """Build the commands of `timim`, and start and stop a server, so that forked programs have all that is made only once."""
    import typer.main

    from timim.cli import commands, server

    typer.main.get_command = functools.cache(typer.main.get_command)
    for app in (server.app, commands.app):
        _prepare(typer.main.get_command(app))
    with tempfile.TemporaryDirectory(prefix="timim-warm-up-") as folder:
        asyncio.run(_serve(Path(folder)))


def _wait_for_threads() -> None:
    """Wait until the threads of the server have ended. A forked program would wait for ever for a lock that one holds."""
    limit = time.monotonic() + THREADS_END_S
    while len(list(Path("/proc/self/task").iterdir())) > 1:
        assert time.monotonic() < limit, "threads of the server are still running"
        time.sleep(0.001)


def _prepare(command: Any) -> None:
    """Make the parsers of the options of a command and its subcommands, as the first use of a command does."""
    for option in command.params:
        option.get_runtime_param()
    for subcommand in getattr(command, "commands", {}).values():
        _prepare(subcommand)


async def _serve(folder: Path) -> None:
    from timim.server import Server, Settings

    async with Server(Settings(data_dir=folder, port=0)):
        pass


def main() -> None:
    for name in PRELOADED:
        importlib.import_module(name)
    loaded = [name for name in FORBIDDEN if name in sys.modules]
    assert loaded == [], loaded
    warm_up()
    _wait_for_threads()
    gc.collect()
    gc.freeze()  # otherwise each collection of a forked program would copy the memory of all preloaded objects
    control, listener = (socket.socket(fileno=int(descriptor)) for descriptor in sys.argv[1:])
    tend(control, listener)


if __name__ == "__main__":
    main()

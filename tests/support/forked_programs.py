"""The program of the fork server: it imports the packages that programs need, and forks one process for each order.

A forked program must use its own environment and not the environment of this process. Therefore this program does not import
modules that read the environment, and a forked program imports those in `READ_ENVIRONMENT` again. The process checks
`FORBIDDEN` before its first fork.
"""

from __future__ import annotations

import contextlib
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
import traceback
from pathlib import Path

# `python -m timim.cli`, a server with callbacks, and clients that transfer media import these. Modules of the command line are
# left out, because some read the environment.
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
FORBIDDEN = ("timim.cli", "timim.testing")
SERVE = ["-m", "timim.cli"]
ORDER_BYTES = 1 << 20
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
    _forget_modules(program)
    if environment.get("PYTHONUNBUFFERED"):
        sys.stdout = open(1, "w", encoding="utf-8", buffering=1, closefd=False)  # noqa: SIM115
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


def _forget_modules(program: list[str]) -> None:
    """Forget the preloaded modules that the program must import itself.

    A program of a test, a mutant for example, changes modules of the server before others import from them. It therefore
    imports all of them.
    """
    own = [name for name in sys.modules if name.startswith("timim.server.")]
    for name in READ_ENVIRONMENT if program[:2] == SERVE else {*READ_ENVIRONMENT, *own}:
        del sys.modules[name]
        package, _, module = name.rpartition(".")
        if package in sys.modules:
            delattr(sys.modules[package], module)  # otherwise `from package import module` would find it there


def main() -> None:
    for name in PRELOADED:
        importlib.import_module(name)
    loaded = [name for name in FORBIDDEN if name in sys.modules]
    assert loaded == [], loaded
    gc.collect()
    gc.freeze()  # otherwise each collection of a forked program would copy the memory of all preloaded objects
    control, listener = (socket.socket(fileno=int(descriptor)) for descriptor in sys.argv[1:])
    tend(control, listener)


if __name__ == "__main__":
    main()

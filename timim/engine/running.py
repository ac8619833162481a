"""The program around a client: log in, wait for a signal, let handlers finish, send what waits, and exit with a code.

A supervisor restarts the program by its exit code, which `EXIT_CODES` explains.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import AuthError, InvalidArgument, TimimError, WrongStore
from ..events import ConnectionLost, KickedOut
from ..transport.network import shown_address
from ..transport.signature import UserSig
from .engine import Engine

__all__ = ["EXIT_CODES", "run_until_signal"]

log = logging.getLogger("timim.run")
FAILED, REFUSED, CUT_SHORT = 1, 2, 3
EXIT_CODES = {
    0: "A signal or a logout ended the program; every handler returned, and every message was sent.",
    FAILED: "The server cannot be reached at the start, or the local store failed; a restart can help.",
    REFUSED: "The server refused or ended the login, or a setting is wrong; a restart does not help.",
    CUT_SHORT: "The drain took too long; handlers were cancelled, or messages wait in the local store for the next start.",
}
SIGNALS = (signal.SIGINT, signal.SIGTERM)
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def run_until_signal(engine: Engine, user_sig: UserSig, *, drain_s: float) -> None:
    """Run an event loop with a logged-in client until SIGINT or SIGTERM.

    Raises:
        InvalidArgument: The call is not in the main thread, or an event loop runs in it.
        SystemExit: With a code of EXIT_CODES, unless it is 0.
    """
    _check_thread()
    _set_up_logging()
    try:
        code = asyncio.run(_serve(engine, user_sig, drain_s))
    except TimimError as exc:
        sys.stderr.write(f"timim: {exc}\n")
        code = REFUSED if isinstance(exc, AuthError | InvalidArgument | WrongStore) else FAILED
    if code:
        raise SystemExit(code)


def _check_thread() -> None:
    if threading.current_thread() is not threading.main_thread():
        raise InvalidArgument(
            "run() must be called in the main thread, which gets the signals; elsewhere use `async with client`"
        )
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise InvalidArgument("run() starts an event loop of its own; in a coroutine use `async with client`")


def _set_up_logging() -> None:
    """Log to standard error from INFO on, unless the program has set up logging itself."""
    if logging.getLogger().handlers or logging.getLogger("timim").handlers:
        return
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # its INFO records have the signed URLs of media


async def _serve(engine: Engine, user_sig: UserSig, drain_s: float) -> int:
    """Log in, wait for the end, and drain; return the exit code. Raises the error that ended the login."""
    drained = True
    with _signals() as signalled:
        running = asyncio.create_task(_run_login(engine, user_sig), name="timim run")
        try:
            waited: set[asyncio.Future[Any]] = {running, signalled}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if signalled.done():
                log.info("%s: stopping; handlers have %g s to finish", signalled.result().name, drain_s)
            if running.done() or engine.connection.running:
                drained = await engine.drain(drain_s)
        finally:
            await _cancel(running)
            await engine.close()
    if not running.cancelled() and (error := running.exception()) is not None:
        raise error
    if not drained:
        log.warning("the handlers did not finish, or messages were not sent, within %g s", drain_s)
    log.info("%s is offline", engine.config.user_id)
    return 0 if drained else CUT_SHORT


async def _run_login(engine: Engine, user_sig: UserSig) -> None:
    """Log in, and return when the program logs out. Raises the error that ended the login."""
    async with engine.dispatcher.listeners.open_stream(KickedOut, ConnectionLost) as endings:
        await engine.login(user_sig)
        log.info("%s is online at %s", engine.config.user_id, shown_address(engine.config.url))
        async for _ in endings:
            if (error := engine.connection.over) is not None:
                raise error


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@contextmanager
def _signals() -> Iterator[asyncio.Future[signal.Signals]]:
    """Yield a future of the first signal. A second signal ends the process at once."""
    loop = asyncio.get_running_loop()
    signalled: asyncio.Future[signal.Signals] = loop.create_future()
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def stop(first: signal.Signals) -> None:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        signalled.set_result(first)

    for number in SIGNALS:
        loop.add_signal_handler(number, stop, number)
    try:
        yield signalled
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)

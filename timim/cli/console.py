"""The output and the exit status of every command. An error is printed as one line on standard error.

Standard output has the data of a command alone; notes go to standard error. With `--json`, each line is one JSON object.
"""

from __future__ import annotations

import asyncio
import os
import stat
import sys
import traceback
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from timim import TimimError

from .files import Cancelled

FAILED = 1
WRONG_USE = 2
NOTHING_FOUND = 3
INTERRUPTED = 130  # the exit status that shells report for a program ended by Ctrl-C
OUTPUT_CLOSED = 141  # the exit status that shells report for a program ended by SIGPIPE
DEBUG = {"tracebacks": False}  # `timim -v`


class OutputClosed(Exception):
    """The reader of standard output has closed it, as `head` does after its last line."""


class _Output(Console):
    def on_broken_pipe(self) -> NoReturn:
        raise OutputClosed


out = _Output(highlight=False)
notes = Console(stderr=True, highlight=False)


def print_json(**fields: object) -> None:
    """Print one JSON object on a line, at once.

    Raises:
        OutputClosed: Nobody reads standard output any more.
    """
    try:
        print(msgspec.json.encode(fields).decode(), flush=True)
    except BrokenPipeError:
        raise OutputClosed from None


def print_note(text: str) -> None:
    """Print a line about the progress of a command on standard error."""
    notes.print(f"[dim]{escape(text)}[/dim]", soft_wrap=True)


def run_app(app: typer.Typer) -> None:
    """Run the command line with the commands of `app`."""
    try:
        app(prog_name="timim")
    except SystemExit as exc:
        if isinstance(exc.__context__, BrokenPipeError):  # of the help, which rich prints
            sys.exit(OUTPUT_CLOSED)
        raise


def run_command(work: Coroutine[Any, Any, None]) -> None:
    """Run the coroutine of a command.

    Raises:
        Exit: See `error_exits`.
    """
    with error_exits():
        asyncio.run(work)


@contextmanager
def error_exits() -> Iterator[None]:
    """Turn the errors of a block into an exit status.

    Raises:
        Exit: After an error, which is printed as one line, after Ctrl-C, or if nobody reads the output any more.
    """
    try:
        yield
    except OutputClosed:
        _discard_output()
        raise typer.Exit(OUTPUT_CLOSED) from None
    except Cancelled as exc:
        notes.print(f"timim: {escape(exc.info)}", soft_wrap=True)
        raise typer.Exit(INTERRUPTED) from None
    except typer.Exit:
        raise
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except TimimError as exc:
        fail(str(exc))
    except Exception as exc:  # noqa: BLE001  a fault of timim is printed as one line too; -v shows where it is
        hint = "" if DEBUG["tracebacks"] else "; `timim -v` with the same command shows where"
        fail(f"internal error: {type(exc).__name__}: {exc}{hint}")


def fail(text: str, status: int = FAILED) -> NoReturn:
    """Print an error as one line, after its traceback with `timim -v`, and end with an exit status.

    Raises:
        Exit: Always.
    """
    if DEBUG["tracebacks"] and sys.exc_info()[0] is not None:
        traceback.print_exc()
    notes.print(f"[red]timim: {escape(' '.join(text.split()))}[/red]", soft_wrap=True)
    raise typer.Exit(status) from None


def _discard_output() -> None:
    """Send the rest of the output nowhere, because Python reports an error if it cannot flush it at the end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


@contextmanager
def watched_output(on_closed: Callable[[], None]) -> Iterator[None]:
    """Call `on_closed` when standard output is a pipe and its reader closes it, also while nothing is printed."""
    loop = asyncio.get_running_loop()
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):  # a test captures the output
        yield
        return
    if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        yield
        return
    loop.add_reader(descriptor, on_closed)  # the write end of a pipe is readable once the read end is closed
    try:
        yield
    finally:
        loop.remove_reader(descriptor)

"""The output and the exit status of every command. An error of timim is printed as one line, with exit status 1."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape

from ..errors import TimimError
from ..message import Message
from .files import Cancelled

out = Console(highlight=False)
INTERRUPTED = 130  # the exit status that shells report for a program ended by Ctrl-C


def run_command(work: Coroutine[Any, Any, None]) -> None:
    """Run the coroutine of a command.

    Raises:
        Exit: With status 1 after an error of timim, which is printed as one line, or 130 after Ctrl-C.
    """
    errors = Console(stderr=True, highlight=False)
    try:
        asyncio.run(work)
    except Cancelled as exc:
        errors.print(f"timim: {escape(exc.info)}", soft_wrap=True)
        raise typer.Exit(INTERRUPTED) from None
    except TimimError as exc:
        errors.print(f"[red]timim: {escape(str(exc))}[/red]", soft_wrap=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def print_message(message: Message) -> None:
    """Print a message on one line: its group, if any, its sender and its content."""
    where = "" if message.key is None or message.key.type != 2 else f" [{message.key.peer}]"
    body = message.text or " ".join(elem.push_text or type(elem).__name__ for elem in message)
    out.print(f"[bold]{escape(message.sender)}[/bold]{escape(where)}: {escape(body)}", soft_wrap=True)

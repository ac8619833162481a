"""A test server that runs a given program, a mutant for example, in a folder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from timim.testing import RunningServer


@asynccontextmanager
async def server_of(
    program: tuple[str, ...], folder: Path, *, settings: Mapping[str, object], users: Iterable[str]
) -> AsyncIterator[RunningServer]:
    """Start a program, `timim serve` if it is empty, with some accounts, and stop it at the end."""
    server = RunningServer(folder, settings)
    server.program = program or server.program
    await server.start()
    try:
        await server.add_users(*users)
        yield server
    finally:
        await server.faults.stop()
        await server.stop()

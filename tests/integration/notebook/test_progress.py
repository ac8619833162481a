"""Tests of progress bars in a terminal and without one; tests/integration/notebook/test_kernel.py has those in a notebook."""

from __future__ import annotations

import asyncio
import os
import pty
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from timim import ProgressBar

BAR = """
import asyncio, timim

async def numbers():
    for number in range(200):
        yield number

async def main():
    with timim.ProgressBar("[history]", unit="messages") as bar:
        async for _ in bar.track(numbers(), 500):
            pass
    with timim.ProgressBar("cat.jpg") as bar:
        bar(5_000_000, 5_000_000)

asyncio.run(main())
"""


def read_all(descriptor: int) -> str:
    pieces: list[bytes] = []
    while True:
        try:
            piece = os.read(descriptor, 65536)
        except OSError:  # the other side of the terminal is closed
            piece = b""
        if not piece:
            return b"".join(pieces).decode()
        pieces.append(piece)


@pytest.mark.requirement("P08")
def test_bars_in_a_terminal_count_bytes_or_messages() -> None:
    terminal, side = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120", "NO_COLOR": "1"}
    with subprocess.Popen([sys.executable, "-c", BAR], stderr=side, stdout=subprocess.PIPE, env=environment) as program:
        os.close(side)
        shown = read_all(terminal)
        assert program.stdout is not None
        assert program.stdout.read() == b""
    os.close(terminal)
    assert program.returncode == 0
    assert "[history]" in shown
    assert "200/200 messages" in shown
    assert "5.0/5.0 MB" in shown


def test_without_a_terminal_a_bar_yields_the_items_and_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    async def numbers() -> AsyncIterator[int]:
        for number in range(3):
            yield number

    async def count() -> list[int]:
        return [number async for number in bar.track(numbers())]

    with ProgressBar("x", unit="messages") as bar:
        assert asyncio.run(count()) == [0, 1, 2]
    assert capsys.readouterr() == ("", "")

"""A terminal chat in a test: keys go in, the text of the screen comes out."""

from __future__ import annotations

import asyncio
import difflib
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from textual.events import Paste
from textual.pilot import Pilot

from timim import Client, ConversationKey, TimimError
from timim.cli.tui import ChatApp

WAIT_S = 20.0
LOOK_S = 0.05
SETTLE_S = 0.5


class ChatDriver:
    """A running chat.

    Attributes:
        app: The application.
    """

    def __init__(self, app: ChatApp, pilot: Pilot[TimimError | None]) -> None:
        self.app = app
        self._pilot = pilot

    @property
    def lines(self) -> list[str]:
        """The lines of the screen."""
        return [strip.text.rstrip() for strip in self.app.screen._compositor.render_strips()]

    @property
    def text(self) -> str:
        """The text of the screen."""
        return "\n".join(self.lines)

    async def press(self, *keys: str) -> None:
        """Press keys, by their names."""
        await self._pilot.press(*keys)

    async def type(self, text: str, *then: str) -> None:
        """Paste a text, and press keys after it."""
        self.app.post_message(Paste(text))
        await self.press(*then)

    async def go(self, to: str, *keys: str) -> None:
        """Press keys, and wait until the widget with this id has the focus."""
        await self.press(*keys)
        await self.until(lambda: self.app.focused is not None and self.app.focused.id == to)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds."""
        try:
            async with asyncio.timeout(WAIT_S):
                while not holds():
                    await self._pilot.pause(LOOK_S)
        except TimeoutError:
            raise AssertionError(f"this did not come within {WAIT_S} s; the screen is\n{self.text}") from None

    async def sees(self, *texts: str) -> None:
        """Wait until the screen has all these texts."""
        await self.until(lambda: all(text in self.text for text in texts))

    async def sees_no(self, text: str) -> None:
        """Wait until the screen does not have a text."""
        await self.until(lambda: text not in self.text)

    async def shows(self, path: Path) -> None:
        """Wait until the screen is the stored one. UPDATE_SCREENS=1 in the environment stores the present one instead."""
        if os.environ.get("UPDATE_SCREENS"):
            await self._pilot.pause(SETTLE_S)
            await asyncio.to_thread(path.write_text, without_times(self.lines), encoding="utf-8")
        stored = await asyncio.to_thread(path.read_text, encoding="utf-8")
        try:
            await self.until(lambda: without_times(self.lines) == stored)
        except AssertionError:
            lines = stored.splitlines(), without_times(self.lines).splitlines()
            changes = "\n".join(difflib.unified_diff(*lines, "stored", "shown", lineterm=""))
            raise AssertionError(
                f"{path.name} differs; if this is meant, run the test with UPDATE_SCREENS=1\n{changes}"
            ) from None

    async def resize(self, columns: int, lines: int) -> None:
        """Change the size of the terminal."""
        await self._pilot.resize_terminal(columns, lines)


@asynccontextmanager
async def chat(
    client: Client, conversation: ConversationKey | None = None, *, size: tuple[int, int] = (80, 24)
) -> AsyncIterator[ChatDriver]:
    """Run the chat of a client, and close the client at the end."""
    await client.open()
    try:
        app = ChatApp(client, conversation)
        app.animation_level = "none"
        async with app.run_test(size=size) as pilot:
            yield ChatDriver(app, pilot)
    finally:
        await client.close()


def without_times(lines: list[str]) -> str:
    """Return the screen with the same time and day for every message."""
    text = "\n".join([*lines, ""])
    text = re.sub(r"\b\d\d:\d\d (?=[…✓✗ \w])", "10:30 ", text)
    text = re.sub(r"── \d{4}-\d\d-\d\d, \w+ ─+", "── 2026-01-01, Thursday ───", text)
    text = re.sub(r"\d{4}-\d\d-\d\d 10:30", "2026-01-01 10:30", text)
    return re.sub(r"(connecting… · ).*", r"\1why", text)

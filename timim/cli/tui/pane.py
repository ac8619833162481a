"""The base of the parts of the screen that work with the client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from textual.containers import Vertical
from textual.worker import Worker

from timim import NotLoggedIn, TimimError

from .status_bar import StatusBar
from .text import clean

Work = Callable[[], Awaitable[object]]


class Pane(Vertical):
    """Part of the screen whose workers show their errors in the status bar. The workers end with the part."""

    def notice(self, text: str) -> None:
        """Show a text in the status bar, which is gone when the chat ends."""
        for bar in self.screen.query(StatusBar):
            bar.set_notice(text)

    def transfer(self, text: str) -> None:
        """Show the progress of an upload or a download in the status bar."""
        for bar in self.screen.query(StatusBar):
            bar.set_transfer(text)

    def work(self, work: Work, group: str, *, exclusive: bool = False) -> None:
        """Run an async function in a worker.

        Args:
            work: The function.
            group: The group of the worker.
            exclusive: True cancels the other workers of the group.
        """
        _: Worker[None] = self.run_worker(partial(self.report, work), group=group, exclusive=exclusive)

    async def report(self, work: Work) -> None:
        """Await an async function, and show its error."""
        try:
            await work()
        except NotLoggedIn:
            pass  # the chat ends; a queued message stays queued
        except TimimError as exc:
            self.notice(clean(str(exc)))

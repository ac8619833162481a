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

    @property
    def status(self) -> StatusBar:
        """The status bar of the screen."""
        return self.screen.query_one(StatusBar)

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
            self.status.set_notice(clean(str(exc)))

"""Clocks that a test sets: a wall clock that goes wrong, and a loop's clock that does not wait.

A wall clock is what timestamps are made of; a loop's clock is what timeouts and heartbeats are counted by. The first may
jump either way, the second only forward.
"""

from __future__ import annotations

import asyncio
import mmap
import selectors
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from ..sqlite.lanes import working
from ..util.clock import OFFSET

T = TypeVar("T")
QUIET_S = 0.0005  # a packet on loopback is there at once; a disk that needs longer looks like a slow disk


class WallClock:
    """A clock that is wrong by `offset_s` seconds. `server.client("bob", now=WallClock(offset_s=-3600).now)`.

    `share(path)` makes it the clock of a process that reads that file: `server.clock` is a server's.
    """

    def __init__(self, *, offset_s: float = 0.0) -> None:
        self._offset_s = float(offset_s)
        self._shared: mmap.mmap | None = None

    @property
    def offset_s(self) -> float:
        """How wrong it is."""
        return self._offset_s

    def now(self) -> float:
        """Unix seconds by this clock."""
        return time.time() + self._offset_s

    def set(self, offset_s: float) -> None:
        """Be wrong by so many seconds from now on; 0 is right again."""
        self._offset_s = float(offset_s)
        if self._shared is not None:
            self._shared[:] = OFFSET.pack(self._offset_s)

    def share(self, path: Path) -> None:
        """Let processes that start with `TIMIM_CLOCK_FILE` set to this file follow; it blocks, for the file is written."""
        path.write_bytes(OFFSET.pack(self._offset_s))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), OFFSET.size)

    def jump(self, seconds: float) -> None:
        """Go so many seconds forward, or back when negative."""
        self.set(self._offset_s + seconds)

    def __repr__(self) -> str:
        return f"<WallClock {self._offset_s:+} s>"


class VirtualClock:
    """Time that jumps to the next timer as soon as nothing happens: an hour of heartbeats takes a moment.

    `VirtualClock().run(main())` is `asyncio.run(main())` on such a loop. All that take part must run in this loop: a
    server of `local_server(clock)`, clients, the relay of faults. What runs elsewhere (the disk, a name look-up) takes as
    long as ever; the disk and threads of the loop are waited for, and of what else needs more than `quiet_s` real seconds it
    looks as if it were slow: the next timer is due before it.
    """

    def __init__(self, *, quiet_s: float = QUIET_S) -> None:
        self.quiet_s = quiet_s
        self._jumped_s = 0.0
        self._wall = WallClock()

    def monotonic(self) -> float:
        """The loop's time."""
        return time.monotonic() + self._jumped_s

    def now(self) -> float:
        """Unix seconds, which jump along."""
        return self._wall.now() + self._jumped_s

    @property
    def wall(self) -> WallClock:
        """Sets the wall clock wrong, and leaves the loop's alone."""
        return self._wall

    def advance(self, seconds: float) -> None:
        """Go forward, as when a laptop slept: every timer that is due by then rings, in order. Raises ValueError for back."""
        if seconds < 0:
            raise ValueError(f"a loop's clock goes forward only, not by {seconds} s")
        self._jumped_s += seconds

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        """A loop that lives by this clock; for a runner or a pytest-asyncio policy of one's own."""
        return _Loop(self)

    def drives(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether this loop lives by this clock."""
        return isinstance(loop, _Loop) and loop.clock is self

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run to its end, in a loop of its own."""
        with asyncio.Runner(loop_factory=self.new_event_loop) as runner:
            return runner.run(main)

    def __repr__(self) -> str:
        return f"<VirtualClock {self._jumped_s:.3f} s ahead>"


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self._executing: set[asyncio.Future[Any]] = set()
        super().__init__(_Selector(clock, lambda: bool(self._executing) or working() > 0))

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        future = super().run_in_executor(executor, func, *args)
        self._executing.add(future)
        future.add_done_callback(self._executing.discard)
        return future

    def time(self) -> float:
        return self.clock.monotonic()


class _Selector(selectors.DefaultSelector):
    """Waits for files only for a moment, and for threads; then the time that the loop wanted to wait has passed."""

    def __init__(self, clock: VirtualClock, busy: Callable[[], bool]) -> None:
        super().__init__()
        self._clock = clock
        self._busy = busy

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        quiet_s = self._clock.quiet_s
        if timeout is None or timeout <= quiet_s:
            return super().select(timeout)
        ready = super().select(quiet_s)
        busy = True
        while busy and not ready:
            busy = self._busy()  # asked first: what a thread said before it was done is seen then
            ready = super().select(quiet_s if busy else 0)
        if not ready:
            self._clock.advance(timeout - quiet_s)
        return ready

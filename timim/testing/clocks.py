"""Clocks that a test sets: a wall clock that is wrong, and the clock of an event loop that does not wait.

Timestamps come from a wall clock, timeouts and heartbeats from the loop's clock. A wall clock may jump either way, a loop's
clock only forward.
"""

from __future__ import annotations

import asyncio
import mmap
import selectors
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from ..sqlite.connection import pending_tasks
from ..util.clock import OFFSET

T = TypeVar("T")
QUIET_S = 0.0005  # more than a packet needs on loopback
LATE_S = 0.002  # a busy machine wakes a program so much later than asked for


class WallClock:
    """A wall clock that is wrong by some seconds, such as `server.client("bob", now=WallClock(offset_s=-3600).now)`.

    After `share(path)`, other processes follow this clock too; `server.clock` is an example.

    Args:
        offset_s: Seconds to add to the machine's time.
    """

    def __init__(self, *, offset_s: float = 0.0) -> None:
        self._offset_s = float(offset_s)
        self._shared: mmap.mmap | None = None

    @property
    def offset_s(self) -> float:
        """Seconds that are added to the machine's time."""
        return self._offset_s

    def now(self) -> float:
        """Return the Unix time of this clock."""
        return time.time() + self._offset_s

    def set(self, offset_s: float) -> None:
        """Set the offset.

        Args:
            offset_s: Seconds to add to the machine's time; 0 makes the clock correct again.
        """
        self._offset_s = float(offset_s)
        if self._shared is not None:
            self._shared[:] = OFFSET.pack(self._offset_s)

    def share(self, path: Path) -> None:
        """Share the offset with the processes that are started with `TIMIM_CLOCK_FILE=path`. The call blocks on the disk.

        Args:
            path: File to write the offset to; later changes of the offset change the file.

        Raises:
            OSError: The file cannot be written.
        """
        path.write_bytes(OFFSET.pack(self._offset_s))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), OFFSET.size)

    def jump(self, seconds: float) -> None:
        """Move the clock.

        Args:
            seconds: Seconds to move the clock forward, or back if negative.
        """
        self.set(self._offset_s + seconds)

    def __repr__(self) -> str:
        return f"<WallClock {self._offset_s:+} s>"


class VirtualClock:
    """A clock that jumps to the next timer as soon as nothing happens, so that an hour of heartbeats takes a moment.

    `VirtualClock().run(main())` is `asyncio.run(main())` on a loop with this clock. The server (`local_server(clock)`), the
    clients and the fault proxy must all run in that loop. The clock waits for the disk and for threads of the loop. Anything
    else that needs more than `quiet_s` real seconds, such as a name look-up, appears to be slow: the next timer fires first.

    Args:
        quiet_s: Real seconds without an event after which the clock jumps.
    """

    def __init__(self, *, quiet_s: float = QUIET_S) -> None:
        self.quiet_s = quiet_s
        self._jumped_s = 0.0
        self._wall = WallClock()

    def monotonic(self) -> float:
        """Return the loop's time in seconds."""
        return time.monotonic() + self._jumped_s

    def now(self) -> float:
        """Return the Unix time, which jumps together with the loop's time."""
        return self._wall.now() + self._jumped_s

    @property
    def wall(self) -> WallClock:
        """The wall clock, which a test can set wrong without moving the loop's time."""
        return self._wall

    def advance(self, seconds: float) -> None:
        """Move the time forward, like a laptop that was asleep; the timers that are then due fire in order.

        Args:
            seconds: Seconds to move the time forward.

        Raises:
            ValueError: `seconds` is negative.
        """
        if seconds < 0:
            raise ValueError(f"a loop's clock moves forward only; seconds must be 0 or more, not {seconds}")
        self._jumped_s += seconds

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        """Return a new loop with this clock, for a custom runner or pytest-asyncio policy."""
        return _VirtualLoop(self)

    def drives(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Return whether a loop has this clock."""
        return isinstance(loop, _VirtualLoop) and loop.clock is self

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end in a new loop with this clock, and return its result.

        Args:
            main: The coroutine.

        Raises:
            RuntimeError: A loop is running in this thread.
            Exception: Any error that the coroutine raises.
        """
        with asyncio.Runner(loop_factory=self.new_event_loop) as runner:
            return runner.run(main)

    def __repr__(self) -> str:
        return f"<VirtualClock {self._jumped_s:.3f} s ahead>"


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self._executing: set[asyncio.Future[Any]] = set()
        super().__init__(_VirtualSelector(clock, self._executing))

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        future = super().run_in_executor(executor, func, *args)
        self._executing.add(future)
        future.add_done_callback(self._executing.discard)
        return future

    def time(self) -> float:
        return self.clock.monotonic()


class _VirtualSelector(selectors.DefaultSelector):
    """Selector that waits for threads without a limit and for sockets a moment, and then moves the clock to the next timer.

    `executing` has the calls that run in threads of the loop.
    """

    def __init__(self, clock: VirtualClock, executing: set[asyncio.Future[Any]]) -> None:
        super().__init__()
        self._clock = clock
        self._executing = executing

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        quiet_s = self._clock.quiet_s
        if timeout is None or timeout <= quiet_s:
            return super().select(timeout)
        ready = self._select_on_time(quiet_s)
        busy = True
        while busy and not ready:
            # checked before select, so that select sees the result of a thread that finishes in between
            busy = bool(self._executing) or pending_tasks() > 0
            ready = super().select(quiet_s if busy else 0)
        if not ready:
            self._clock.advance(timeout - quiet_s)
        return ready

    def _select_on_time(self, timeout: float) -> list[tuple[selectors.SelectorKey, int]]:
        """Select, and select again if the machine woke this program late, because packets may be late too."""
        while True:
            begun = time.monotonic()
            if (ready := super().select(timeout)) or time.monotonic() - begun < timeout + LATE_S:
                return ready

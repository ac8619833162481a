"""Writes that are given one by one and carried out as one; who gave one is on_done of its own result."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, TypeVar

from ..errors import StorageError
from .database import BATCH_LIMIT, QUEUE_LIMIT
from .lanes import Op

I = TypeVar("I")  # noqa: E741  an item
R = TypeVar("R")


class BatchingQueue(Generic[I, R]):
    """`op` carries out what was given since the last write, in its order, and returns a result for each.

    What is given in one turn of the loop, and while something is being written, is written together next, up to BATCH_LIMIT of
    it. With `manual`, all waits for `flush()`.
    """

    def __init__(
        self,
        op: Callable[[sqlite3.Connection, Sequence[I]], Sequence[R]],
        submit: Callable[[Op[Sequence[R]]], asyncio.Future[Sequence[R]]],
        *,
        manual: bool = False,
    ) -> None:
        self._op = op
        self._submit = submit
        self._given: list[tuple[I, Callable[[R | Exception], None]]] = []
        self._manual = manual
        self._waiting = 0
        self._under_way = 0
        self._woken = False  # it goes on in the next turn of the loop

    def add(self, item: I, on_done: Callable[[R | Exception], None]) -> None:
        """`on_done` gets its result after the commit that holds it, or StorageError: it failed, or too many wait already.

        It must not raise, nor block. A future for each would cost ten times a call.
        """
        if self._waiting >= QUEUE_LIMIT:
            on_done(StorageError(f"{QUEUE_LIMIT} writes wait already: the disk does not keep up"))
            return
        self._waiting += 1
        self._given.append((item, on_done))
        if not (self._manual or self._under_way or self._woken):
            self._woken = True
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        self._woken = False
        if not self._manual and not self._under_way:
            self._submit_some(BATCH_LIMIT)

    def flush(self) -> None:
        """Queue the write of all that were given."""
        self._submit_some(len(self._given))

    def _submit_some(self, count: int) -> None:
        if not self._given:
            return
        given, self._given = self._given[:count], self._given[count:]
        try:
            writing = self._submit(partial(self._carry_out, [item for item, _ in given]))
        except StorageError as exc:
            self._waiting -= len(given)
            for _, on_done in given:
                on_done(exc)
        else:
            self._under_way += 1
            writing.add_done_callback(partial(self._written, [on_done for _, on_done in given]))

    def _carry_out(self, items: Sequence[I], connection: sqlite3.Connection) -> Sequence[R]:
        return self._op(connection, items)

    def _written(self, callbacks: Sequence[Callable[[R | Exception], None]], writing: asyncio.Future[Sequence[R]]) -> None:
        self._waiting -= len(callbacks)
        self._under_way -= 1
        self._go_on()
        error = writing.exception()
        if error is None:
            for on_done, result in zip(callbacks, writing.result(), strict=True):
                on_done(result)
        else:
            assert isinstance(error, Exception)
            for on_done in callbacks:
                on_done(error)

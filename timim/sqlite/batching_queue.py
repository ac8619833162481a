"""Writes that are given one by one and carried out as one; who gave one is told of its own result."""

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


class Gathered(Generic[I, R]):
    """`op` carries out what was given since the last write, in its order, and returns a result for each.

    What is given in one turn of the loop, and while something is being written, is written together next, up to BATCH_LIMIT of
    it. With `held`, all waits for `submit()`.
    """

    def __init__(
        self,
        op: Callable[[sqlite3.Connection, Sequence[I]], Sequence[R]],
        submit: Callable[[Op[Sequence[R]]], asyncio.Future[Sequence[R]]],
        *,
        held: bool = False,
    ) -> None:
        self._op = op
        self._submit = submit
        self._given: list[tuple[I, Callable[[R | Exception], None]]] = []
        self._held = held
        self._waiting = 0
        self._under_way = 0
        self._woken = False  # it goes on in the next turn of the loop

    def add(self, item: I, told: Callable[[R | Exception], None]) -> None:
        """`told` gets its result after the commit that holds it, or StorageError: it failed, or too many wait already.

        It must not raise, nor block. A future for each would cost ten times a call.
        """
        if self._waiting >= QUEUE_LIMIT:
            told(StorageError(f"{QUEUE_LIMIT} writes wait already: the disk does not keep up"))
            return
        self._waiting += 1
        self._given.append((item, told))
        if not (self._held or self._under_way or self._woken):
            self._woken = True
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        self._woken = False
        if not self._held and not self._under_way:
            self._submit_some(BATCH_LIMIT)

    def submit(self) -> None:
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
            for _, told in given:
                told(exc)
        else:
            self._under_way += 1
            writing.add_done_callback(partial(self._written, [told for _, told in given]))

    def _carry_out(self, items: Sequence[I], connection: sqlite3.Connection) -> Sequence[R]:
        return self._op(connection, items)

    def _written(self, all_told: Sequence[Callable[[R | Exception], None]], writing: asyncio.Future[Sequence[R]]) -> None:
        self._waiting -= len(all_told)
        self._under_way -= 1
        self._go_on()
        error = writing.exception()
        if error is None:
            for told, result in zip(all_told, writing.result(), strict=True):
                told(result)
        else:
            assert isinstance(error, Exception)
            for told in all_told:
                told(error)

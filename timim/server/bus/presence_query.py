"""Queries for users who are online on other nodes. A query is sent to all nodes; late answers are ignored. No I/O."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec

ANSWER_WAIT_S = 0.5  # short, because a push waits for the answers; a node without an answer counts as having none of the users

_QUESTION = msgspec.msgpack.Decoder(tuple[str, int, list[str]])  # asking node, number of the question, users
_ANSWER = msgspec.msgpack.Decoder(tuple[str, int, list[str]])  # answering node, number of the question, its online users


class _Open:
    """A query that waits for answers."""

    def __init__(self, waiting: set[str]) -> None:
        self.waiting = waiting
        self.found: set[str] = set()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class QueryTransport(Protocol):
    """The connection to the other nodes."""

    def broadcast(self, message: bytes) -> None:
        """Send a query to all other nodes."""
        ...

    def reply(self, node: str, message: bytes) -> None:
        """Send an answer to one node."""
        ...


class PresenceQuery:
    """The presence queries of this node that wait for answers, and its answers to the queries of other nodes."""

    def __init__(self, node_id: str, transport: QueryTransport) -> None:
        self._node_id = node_id
        self._transport = transport
        self._numbers = itertools.count(1)
        self._open: dict[int, _Open] = {}

    async def ask(self, users: Iterable[str], nodes: Iterable[str]) -> set[str]:
        """Return those of `users` who are online on one of `nodes`.

        Nodes that do not answer within ANSWER_WAIT_S are left out.
        """
        waiting, users = set(nodes), list(users)
        if not waiting or not users:
            return set()
        number = next(self._numbers)
        question = self._open[number] = _Open(waiting)
        self._transport.broadcast(msgspec.msgpack.encode((self._node_id, number, users)))
        try:
            await asyncio.wait((question.done,), timeout=ANSWER_WAIT_S)
        finally:
            del self._open[number]
        return question.found

    def answer(self, message: bytes, online: Callable[[str], bool]) -> None:
        """Reply to another node's query with the users who are online on this node."""
        node, number, users = _QUESTION.decode(message)
        self._transport.reply(node, msgspec.msgpack.encode((self._node_id, number, [user for user in users if online(user)])))

    def on_answer(self, message: bytes) -> None:
        """Process another node's answer to a query of this node."""
        node, number, users = _ANSWER.decode(message)
        question = self._open.get(number)
        if question is None:
            return  # the answer came too late
        question.found.update(users)
        question.waiting.discard(node)
        if not question.waiting and not question.done.done():
            question.done.set_result(None)

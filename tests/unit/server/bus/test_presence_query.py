"""Tests of queries for online users: all nodes are asked, and silent nodes time out."""

from __future__ import annotations

from timim.server.bus.presence_query import PresenceQuery
from timim.testing import VirtualClock


def test_all_nodes_are_queried_and_silent_ones_time_out() -> None:
    clock = VirtualClock()

    async def main() -> None:
        nodes: dict[str, PresenceQuery] = {}
        online = {"b": {"bob"}, "c": {"carol"}}

        class Ways:
            def __init__(self, name: str) -> None:
                self.name = name

            def broadcast(self, message: bytes) -> None:
                for other in nodes.keys() - {self.name}:
                    nodes[other].answer(message, online.get(other, set()).__contains__)

            def reply(self, node: str, message: bytes) -> None:
                nodes[node].on_answer(message)

        for name in "abc":
            nodes[name] = PresenceQuery(name, Ways(name))
        assert await nodes["a"].ask(["alice", "bob", "carol"], ["b", "c"]) == {"bob", "carol"}
        assert await nodes["a"].ask(["bob"], ["b", "silent"]) == {"bob"}
        assert await nodes["a"].ask(["bob"], []) == set()

    clock.run(main())

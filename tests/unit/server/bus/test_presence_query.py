"""Asking the other nodes who is online: all are asked, and silent ones are not waited for long."""

from __future__ import annotations

from timim.server.bus.presence_query import Questions
from timim.testing import VirtualClock


def test_all_nodes_are_queried_and_silent_ones_time_out() -> None:
    clock = VirtualClock()

    async def main() -> None:
        nodes: dict[str, Questions] = {}
        online = {"b": {"bob"}, "c": {"carol"}}

        def make(name: str) -> Questions:
            def say(message: bytes) -> None:
                for other in nodes.keys() - {name}:
                    nodes[other].answer(message, online.get(other, set()).__contains__)

            return Questions(name, say=say, tell=lambda to, message: nodes[to].hear(message))

        for name in "abc":
            nodes[name] = make(name)
        assert await nodes["a"].ask(["alice", "bob", "carol"], ["b", "c"]) == {"bob", "carol"}
        assert await nodes["a"].ask(["bob"], ["b", "silent"]) == {"bob"}
        assert await nodes["a"].ask(["bob"], []) == set()

    clock.run(main())

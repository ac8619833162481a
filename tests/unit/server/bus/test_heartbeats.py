"""How a node knows the others: by their numbered beats, and by asking them."""

from __future__ import annotations

from timim.server.bus.heartbeats import GONE_S, Peers
from timim.server.bus.presence_query import Questions
from timim.testing import VirtualClock


class Node:
    """Peers at a time that is set by hand; `holes` and `gone` count."""

    def __init__(self) -> None:
        self.time = 0.0
        self.holes = self.gone = 0
        self.peers = Peers(on_hole=self._hole, on_gone=self._gone, now=lambda: self.time)

    def _hole(self) -> None:
        self.holes += 1

    def _gone(self, silent: bool) -> None:
        self.gone += 1


def test_a_gap_in_a_nodes_heartbeats_is_a_loss() -> None:
    here, there = Node(), Node()
    assert here.peers.hear(there.peers.beat())
    assert not here.peers.hear(there.peers.beat())
    assert here.holes == 0
    there.peers.beat()  # lost
    here.peers.hear(there.peers.beat())
    assert here.holes == 1
    here.peers.hear(there.peers.beat())
    assert here.holes == 1


def test_a_node_first_heard_late_may_have_said_more_before() -> None:
    here, there = Node(), Node()
    there.peers.beat()
    assert here.peers.hear(there.peers.beat())
    assert here.holes == 1


def test_a_silent_or_leaving_node_is_lost_but_not_during_our_own_outage() -> None:
    here, quiet, leaving = Node(), Node(), Node()
    for node in (quiet, leaving):
        here.peers.hear(node.peers.beat())
    assert here.peers.names == {quiet.peers.me, leaving.peers.me}
    here.peers.hear(leaving.peers.last_beat())
    here.peers.hear(leaving.peers.last_beat())
    assert (here.gone, here.peers.names) == (1, frozenset([quiet.peers.me]))
    here.time += GONE_S + 1
    here.peers.excuse()
    here.peers.look()
    assert (here.gone, here.peers.names) == (1, frozenset([quiet.peers.me]))
    here.time += GONE_S + 1
    here.peers.look()
    here.peers.look()
    assert (here.gone, here.peers.names) == (2, frozenset())


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

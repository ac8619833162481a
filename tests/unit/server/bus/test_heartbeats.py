"""How a node knows the others: by their numbered beats, and by asking them."""

from __future__ import annotations

from timim.server.bus.heartbeats import GONE_S, Peers


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

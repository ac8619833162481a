"""Tests of heartbeats, by which a node notices lost hints and lost nodes."""

from __future__ import annotations

from timim.server.bus.heartbeats import SILENCE_LIMIT_S, HeartbeatMonitor


class Node:
    """A node's heartbeat monitor with a clock set by hand. `holes` and `gone` count the calls."""

    def __init__(self) -> None:
        self.time = 0.0
        self.holes = self.gone = 0
        self.peers = HeartbeatMonitor(self, now=lambda: self.time)

    def on_gap(self) -> None:
        self.holes += 1

    def on_lost(self, *, timed_out: bool) -> None:
        self.gone += 1


def test_a_gap_in_a_nodes_heartbeats_is_a_loss() -> None:
    here, there = Node(), Node()
    assert here.peers.on_heartbeat(there.peers.next_heartbeat())
    assert not here.peers.on_heartbeat(there.peers.next_heartbeat())
    assert here.holes == 0
    there.peers.next_heartbeat()  # this heartbeat is lost
    here.peers.on_heartbeat(there.peers.next_heartbeat())
    assert here.holes == 1
    here.peers.on_heartbeat(there.peers.next_heartbeat())
    assert here.holes == 1


def test_a_later_first_heartbeat_of_a_node_counts_as_a_loss() -> None:
    here, there = Node(), Node()
    there.peers.next_heartbeat()
    assert here.peers.on_heartbeat(there.peers.next_heartbeat())
    assert here.holes == 1


def test_a_silent_or_leaving_node_is_lost_but_not_during_our_own_outage() -> None:
    here, quiet, leaving = Node(), Node(), Node()
    for node in (quiet, leaving):
        here.peers.on_heartbeat(node.peers.next_heartbeat())
    assert here.peers.node_ids == {quiet.peers.node_id, leaving.peers.node_id}
    here.peers.on_heartbeat(leaving.peers.last_heartbeat())
    here.peers.on_heartbeat(leaving.peers.last_heartbeat())
    assert (here.gone, here.peers.node_ids) == (1, frozenset([quiet.peers.node_id]))
    here.time += SILENCE_LIMIT_S + 1
    here.peers.restart_timeouts()
    here.peers.check_silence()
    assert (here.gone, here.peers.node_ids) == (1, frozenset([quiet.peers.node_id]))
    here.time += SILENCE_LIMIT_S + 1
    here.peers.check_silence()
    here.peers.check_silence()
    assert (here.gone, here.peers.node_ids) == (2, frozenset())

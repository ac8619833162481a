"""The rates of new connections by address, and the pauses of violators."""

from __future__ import annotations

import pytest

from timim.server.endpoints.new_connections import VIOLATORS_LIMIT, NewConnections


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def admitted(limits: NewConnections, hosts: list[str]) -> int:
    count = 0
    for host in hosts:
        if not limits.refusal(host):
            limits.count(host)
            count += 1
    return count


@pytest.mark.requirement("H30b")
def test_an_address_and_a_subnet_have_a_rate() -> None:
    clock = Clock()
    limits = NewConnections(2, 0, now=clock)
    assert admitted(limits, ["192.0.2.1"] * 100) == 20
    assert limits.refusal("192.0.2.1") == "rate"
    assert admitted(limits, [f"192.0.2.{n}" for n in range(2, 250)]) == 140  # 8 addresses' worth
    assert limits.refusal("192.0.3.1") == ""
    clock.now += 1
    assert admitted(limits, ["192.0.2.1"] * 100) == 2
    free = NewConnections(0, 0, now=clock)
    assert admitted(free, ["192.0.2.1"] * 1000) == 1000


@pytest.mark.requirement("H20")
def test_pauses_double_and_are_forgiven() -> None:
    clock = Clock()
    limits = NewConnections(0, 5, now=clock)
    for expected in (1, 2, 4, 5, 5):
        assert limits.pause("192.0.2.1") == expected
        assert limits.pause("192.0.2.1") == 0  # one more connection that is older than the pause
        assert limits.refusal("192.0.2.1") == "pause"
        assert limits.refusal("192.0.2.2") == ""
        clock.now += expected
        assert limits.refusal("192.0.2.1") == ""
    clock.now += 5.1
    assert limits.pause("192.0.2.1") == 1
    assert NewConnections(0, 0, now=clock).pause("192.0.2.1") == 0


@pytest.mark.requirement("H20")
def test_an_ipv6_violator_is_its_network() -> None:
    limits = NewConnections(0, 60, now=Clock())
    limits.pause("2001:db8::1")
    assert [limits.refusal(host) for host in ("2001:db8::2", "2001:db8:0:1::2")] == ["pause", ""]
    limits.pause("::ffff:192.0.2.1")
    assert limits.refusal("::ffff:192.0.2.2") == ""


def test_violators_are_remembered_up_to_a_limit() -> None:
    clock = Clock()
    limits = NewConnections(0, 60, now=clock)
    for number in range(VIOLATORS_LIMIT + 10):
        limits.pause(f"user-{number}")
    assert len(limits._pauses) == VIOLATORS_LIMIT
    assert limits.refusal("user-0") == ""
    assert limits.refusal(f"user-{VIOLATORS_LIMIT}") == "pause"
    clock.now += 1000
    limits.pause("another")
    assert len(limits._pauses) == 1

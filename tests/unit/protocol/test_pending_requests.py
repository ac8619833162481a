"""Tests of pending requests: each ends once, by its reply, its deadline, or the end of its connection."""

from __future__ import annotations

import pytest

from timim import ConnectionFailed, InvalidArgument, RequestTimeout, TimimError
from timim.protocol.frames import Frame, Head
from timim.protocol.pending_requests import PendingRequests


def test_a_request_ends_by_reply_deadline_or_disconnection() -> None:
    calls, ended = PendingRequests(), list[Frame | TimimError]()
    first = calls.register("a.b", ended.append, deadline=5)
    calls.register("a.b", ended.append, deadline=9)
    assert not calls.resolve(Frame(Head("c.d", first)))
    assert calls.resolve(Frame(Head("a.b", first)))
    assert not calls.resolve(Frame(Head("a.b", first)))
    assert calls.expire(8) == 9
    calls.register("a.b", ended.append, deadline=20)
    assert calls.expire(9) == 20
    calls.close(RequestTimeout("gone"))
    assert [type(end) for end in ended] == [Frame, RequestTimeout, RequestTimeout]
    assert len(calls) == 0


def test_a_refused_request_uses_no_seq() -> None:
    calls = PendingRequests(limit=1)
    assert calls.next_seq == calls.register("a.b", lambda result: None, deadline=1) == 1
    with pytest.raises(InvalidArgument, match="1 requests are waiting"):
        calls.register("a.b", lambda result: None, deadline=1)
    assert calls.next_seq == 2


def test_each_request_has_a_seq_of_its_own() -> None:
    calls = PendingRequests(first_seq=40)
    assert [calls.register("a.b", lambda result: None, deadline=1) for _ in range(3)] == [40, 41, 42]


def test_a_reply_nobody_waits_for_is_dropped() -> None:
    assert not PendingRequests().resolve(Frame(Head("a.b", 1)))


def test_a_forgotten_request_ends_by_nothing() -> None:
    calls, ended = PendingRequests(), list[Frame | TimimError]()
    seq = calls.register("a.b", ended.append, deadline=5)
    calls.forget(seq)
    calls.forget(seq)
    assert not calls.resolve(Frame(Head("a.b", seq)))
    assert calls.expire(100) is None
    assert (ended, len(calls)) == ([], 0)


def test_the_next_deadline_is_the_earliest_of_the_waiting() -> None:
    calls = PendingRequests()
    early = calls.register("a.b", lambda result: None, deadline=3)
    calls.register("a.b", lambda result: None, deadline=7)
    assert calls.expire(0) == 3
    calls.forget(early)
    assert calls.expire(0) == 7


def test_a_full_connection_refuses_another_request() -> None:
    calls = PendingRequests(limit=2)
    seq = calls.register("a.b", lambda result: None, deadline=1)
    calls.register("a.b", lambda result: None, deadline=1)
    with pytest.raises(InvalidArgument, match="2 requests are waiting"):
        calls.register("a.b", lambda result: None, deadline=1)
    calls.resolve(Frame(Head("a.b", seq)))
    calls.register("a.b", lambda result: None, deadline=1)


def test_the_end_of_the_connection_ends_every_request_with_its_error() -> None:
    calls, ended = PendingRequests(), list[Frame | TimimError]()
    for _ in range(3):
        calls.register("a.b", ended.append, deadline=1)
    gone = ConnectionFailed("cut")
    calls.close(gone)
    calls.close(ConnectionFailed("again"))
    assert ended == [gone] * 3
    assert calls.expire(100) is None

"""msg_ids differ from each other by construction, also within one second, across threads and after a fork."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable

import pytest

from timim.ids import parse_msg_id
from timim.util.msg_ids import MsgIdSource

NOW = 1_800_000_000
COUNT = 300_000  # 32 random bits would repeat ten of so many ids


def repeated(new: Callable[[int], str], count: int) -> int:
    """Return how many of `count` ids of one second occurred before."""
    numbers = sorted(parse_msg_id(new(NOW)).number for _ in range(count))
    return sum(one == following for one, following in itertools.pairwise(numbers))


@pytest.mark.requirement("F26")
def test_ids_of_one_second_differ() -> None:
    assert repeated(MsgIdSource().new, COUNT) == 0


@pytest.mark.soak
def test_ten_million_ids_of_one_second_differ() -> None:
    assert repeated(MsgIdSource().new, 10_000_000) == 0


def test_a_source_of_32_random_bits_a_second_is_detected() -> None:
    rng = random.Random(1)
    assert repeated(lambda seconds: f"{seconds}-{rng.randrange(1, 1 << 32)}", COUNT) > 0


def test_an_id_has_its_time_and_at_most_30_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secrets.randbits", lambda bits: (1 << bits) - 2)
    monkeypatch.setattr("secrets.randbelow", lambda limit: limit - 1)
    source = MsgIdSource()
    ids = [source.new(2**32 - 1) for _ in range(4)]
    assert ids == [f"4294967295-{n}-7fffffff" for n in (2**32 - 2, 2**32 - 1, 1, 2)]  # the counter is never 0
    assert max(map(len, ids)) == 30
    assert parse_msg_id(ids[0]) == (2**32 - 1, 2**32 - 2, 2**31 - 1)


def test_two_sources_at_the_same_count_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secrets.randbits", lambda bits: 7)
    one, other = MsgIdSource().new(NOW), MsgIdSource().new(NOW)
    assert parse_msg_id(one)[:2] == parse_msg_id(other)[:2]
    assert one != other


def test_threads_share_a_source() -> None:
    source, ids = MsgIdSource(), list[str]()
    threads = [threading.Thread(target=lambda: ids.extend([source.new(NOW) for _ in range(10_000)])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == len(ids) == 80_000


def test_the_time_is_that_of_the_last_login() -> None:
    source = MsgIdSource()
    assert abs(source.time_s() - time.time()) < 60
    source.calibrate(5_000_000.0)
    assert 5_000_000 <= source.time_s() < 5_000_060

"""Tests of the parts of a message's line: times, sizes, and texts that control no terminal."""

from __future__ import annotations

from datetime import datetime

import pytest

from timim.cli.lines import harmless, shown_size, shown_time


def at(*fields: int) -> int:
    """Return a local time, as the lines show it, as seconds since 1970."""
    return int(datetime(*fields).astimezone().timestamp())  # type: ignore[arg-type]


def test_a_time_has_its_date_if_it_is_not_today() -> None:
    now = at(2026, 11, 28, 0, 5)
    assert shown_time(at(2026, 11, 28, 0, 1), now) == "00:01"
    assert shown_time(at(2026, 11, 27, 23, 59), now) == "2026-11-27 23:59"
    assert shown_time(at(2025, 11, 28, 0, 1), now) == "2025-11-28 00:01"
    assert shown_time(0, now) == "--:--"


@pytest.mark.parametrize(
    "size, shown", [(0, "0 bytes"), (999, "999 bytes"), (1000, "1 kB"), (112_525, "113 kB"), (2_400_000, "2.4 MB")]
)
def test_a_size_is_rounded(size: int, shown: str) -> None:
    assert shown_size(size) == shown


@pytest.mark.parametrize(
    "text, shown",
    [
        ("你好 😀", "你好 😀"),
        ("one\r\ntwo\nthree", "one\n    two\n    three"),
        ("\x1b]0;title\x07\x9b1m\x00\r", "\ufffd]0;title\ufffd\ufffd1m\ufffd\ufffd"),
        ("a\tb", "a   b"),
        ("gnp.\u202etxt\u2069 \U0001f469\u200d\U0001f680", "gnp.\ufffdtxt\ufffd \U0001f469\u200d\U0001f680"),
    ],
)
def test_a_text_controls_no_terminal(text: str, shown: str) -> None:
    assert harmless(text) == shown

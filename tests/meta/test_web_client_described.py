"""Tests that `docs/reference/web_client.md` has a true state for each documented method of Tencent's web client."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.web_methods import ASSERTED, INTEROP, PAGE, REFUSED, SERVED, Method, called_by_tests, table

METHODS = 147
REFUSED_LIMIT = 0  # a number that only falls


def untrue(rows: list[Method], tests: dict[str, set[str]]) -> list[str]:
    """Return the methods of whose tests one does not exist or does not call them, or whose refusal has no reason."""
    wrong = []
    for row in rows:
        named = re.findall(r"`(\w+)`", row.note)
        calls = bool(named) and all(row.name in tests.get(test, ()) for test in named)
        held = calls if row.state == ASSERTED else row.state == SERVED or row.note not in ("", "-")
        if not held:
            wrong.append(row.name)
    return wrong


def test_each_method_has_one_state() -> None:
    rows = table()
    assert len({row.name for row in rows}) == len(rows) == METHODS
    assert {row.state for row in rows} <= {ASSERTED, SERVED, REFUSED}


def test_each_asserted_method_is_called_by_its_test() -> None:
    assert untrue(table(), called_by_tests(INTEROP)) == []


def test_the_summary_of_the_page_counts_the_rows() -> None:
    states = [row.state for row in table()]
    numbers = [states.count(state) for state in (ASSERTED, SERVED, REFUSED)]
    assert "{} are asserted, {} are served without a test of their own, {} are refused.".format(*numbers) in PAGE.read_text()
    assert states.count(REFUSED) <= REFUSED_LIMIT


@pytest.mark.parametrize(
    "row",
    [
        Method("login", ASSERTED, "`test_nothing`"),
        Method("follow", ASSERTED, "`test_login`"),
        Method("follow", REFUSED, ""),
        Method("login", ASSERTED, "`test_login`, `test_no`"),
    ],
)
def test_an_untrue_row_is_found(row: Method) -> None:
    assert untrue([row], {"test_login": {"login"}}) == [row.name]


def test_a_constant_counts_for_the_tests_that_use_it_only(tmp_path: Path) -> None:
    lines = ('CALLS = ["login"]', "def test_user():", "    use(CALLS)", "def test_other():", "    pass")
    (tmp_path / "test_web_one.py").write_text("\n".join(lines))
    calls = called_by_tests(tmp_path)
    assert "login" in calls["test_user"]
    assert "login" not in calls["test_other"]

"""Tests that docs/reference/requirements.md has a row for each id that a test names, and no other row."""

from __future__ import annotations

import re

from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "reference" / "requirements.md"
MARKER = re.compile(r"mark\.requirement\(([^)]*)\)")
ID = re.compile(r'"([FHPR]\d+b?)"')
ROW = re.compile(r"^\| ([FHPR]\d+b?) \| \S", re.MULTILINE)


def ids_in_tests() -> set[str]:
    sources = [path.read_text() for path in (ROOT / "tests").rglob("test_*.py") if "node_modules" not in path.parts]
    sources += [path.read_text() for path in (ROOT / "tests" / "support").glob("*_contract.py")]
    return {name for source in sources for ids in MARKER.findall(source) for name in ID.findall(ids)}


def test_every_requirement_of_a_test_is_described_and_every_row_has_a_test() -> None:
    rows = ROW.findall(PAGE.read_text())
    assert len(rows) == len(set(rows))
    assert ids_in_tests() ^ set(rows) == set()

"""Tests that SQL has no numbered placeholders, which SQLite names: Python 3.12 deprecates a sequence for named ones."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.support.paths import ROOT

NUMBERED = re.compile(r"\?\d")
FOLDERS = ("timim", "tests", "bench", "examples", "tools")


def numbered_placeholders(source: str) -> Iterator[int]:
    """Yield the lines of the strings of a module that have a numbered placeholder."""
    if NUMBERED.search(source) is None:
        return
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and NUMBERED.search(node.value):
            yield node.lineno


def test_no_sql_has_a_numbered_placeholder() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: write ? for each value, because SQLite takes ?1 as a name"
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "node_modules" not in path.parts and path.name != "test_sql_placeholders.py"
        for line in numbered_placeholders(path.read_text(encoding="utf-8"))
    ]
    found += [str(path) for path in (ROOT / "timim").rglob("*.sql") if NUMBERED.search(path.read_text(encoding="utf-8"))]
    assert found == []


@pytest.mark.parametrize("code", ['db.execute("SELECT 1 WHERE a=?1", (1,))', 'sql = f"SELECT {names} WHERE a IN (?1, ?2)"'])
def test_a_numbered_placeholder_is_found(code: str) -> None:
    assert list(numbered_placeholders(code)) == [1]

"""Tests that the table of docs/explanation/comparison.md has the lines of the programs on that page."""

from __future__ import annotations

import re

from tests.support.paths import DOCS

PROGRAM = re.compile(r"^### (?P<library>\S+)\n\n```[^\n]*python[^\n]*\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
ROW = re.compile(r"^\| (\S+) \| (\d+) \| (\d+): ([^|]+) \|$", re.MULTILINE)


def test_the_table_has_the_lines_and_the_number_of_concepts() -> None:
    page = (DOCS / "explanation" / "comparison.md").read_text(encoding="utf-8")
    lines = {}
    for program in PROGRAM.finditer(page):
        compile(program["code"], program["library"], "exec")
        lines[program["library"]] = sum(bool(line.strip()) for line in program["code"].splitlines())
    rows = {library: (int(shown), int(number), concepts.split(", ")) for library, shown, number, concepts in ROW.findall(page)}
    assert len(lines) == 4
    assert {library: shown for library, (shown, _, _) in rows.items()} == lines
    assert all(number == len(concepts) for _, number, concepts in rows.values())

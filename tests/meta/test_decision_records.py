"""Tests that every page of docs/adr is a decision record with six fields, and that index.md lists it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.paths import DOCS

RECORDS = sorted((DOCS / "adr").glob("[0-9]*.md"))
_SUPERSEDED = r"superseded by \[\d{4}\]\((?P<by>[\w.-]+)\), \d{4}-\d\d-\d\d"
STATUS = re.compile(rf"^- Status: (proposed|accepted|rejected|{_SUPERSEDED})$", re.MULTILINE)
DATE = re.compile(r"^- Date: \d{4}-\d\d-\d\d(, extended \d{4}-\d\d-\d\d)?$", re.MULTILINE)
SECTIONS = ("Context", "Decision", "Consequences", "Measurement")


def faults(text: str) -> list[str]:
    """Return the fields that a record lacks."""
    found = [name for name, field in (("Status", STATUS), ("Date", DATE)) if not field.search(text)]
    return found + [name for name in SECTIONS if not re.search(rf"^## {name}\n\n(?!#)\S", text, re.MULTILINE)]


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_record_has_the_six_fields(path: Path) -> None:
    text = path.read_text()
    assert faults(text) == []
    assert text.startswith(f"# {int(path.name[:4])}. ")
    for superseded in STATUS.finditer(text):
        assert superseded["by"] is None or (path.parent / superseded["by"]).is_file()


def test_records_are_numbered_without_gaps_and_the_index_lists_each() -> None:
    assert [int(path.name[:4]) for path in RECORDS] == list(range(1, len(RECORDS) + 1))
    listed = re.findall(r"^\| \[(\d{4})\]\(([\w.-]+)\)", (DOCS / "adr" / "index.md").read_text(), re.MULTILINE)
    assert listed == [(path.name[:4], path.name) for path in RECORDS]


def test_a_record_without_a_field_is_found() -> None:
    text = RECORDS[0].read_text()
    assert faults(text.replace("## Measurement", "## Figures")) == ["Measurement"]
    assert faults(text.replace("- Status:", "- State:").replace("- Date:", "- When:")) == ["Status", "Date"]

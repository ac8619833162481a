"""Tests that docs/explanation/security.md names each promise against a hostile peer, and nothing that does not exist."""

from __future__ import annotations

import re

from tests.meta.test_requirements_described import PAGE as REQUIREMENTS
from tests.meta.test_requirements_described import ROW
from tests.support.paths import DOCS, ROOT
from timim.server.settings import Settings

PAGE = DOCS / "explanation" / "security.md"
LINKED = re.compile(r"\[([FHPR]\d+b?)\]\[(?:promises|faults|beyond)\]")
SETTING = re.compile(r"`([a-z0-9_]+)`")


def section(text: str, title: str) -> str:
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def unnamed_or_unknown(page: str, requirements: str) -> set[str]:
    """Return the H ids that only one of the pages has, and the other ids that the page of requirements does not have."""
    described, linked = set(ROW.findall(requirements)), set(LINKED.findall(section(page, "Promises")))
    return {name for name in described ^ linked if name.startswith("H")} | (linked - described)


def test_each_promise_against_a_hostile_peer_has_its_place() -> None:
    assert unnamed_or_unknown(PAGE.read_text(), REQUIREMENTS.read_text()) == set()


def test_a_promise_without_place_and_an_unknown_id_are_found() -> None:
    requirements = REQUIREMENTS.read_text().replace("| H25 |", "| H99 |").replace("| R13 |", "| R99 |")
    assert unnamed_or_unknown(PAGE.read_text(), requirements) == {"H25", "H99", "R13"}


def test_the_limits_are_settings() -> None:
    named = set(SETTING.findall(section(PAGE.read_text(), "Limits")))
    assert len(named) > 20
    assert named - Settings.model_fields.keys() == {"0"}


def test_the_page_says_that_there_is_no_end_to_end_encryption() -> None:
    assert "No end-to-end encryption" in section(PAGE.read_text(), "What is not promised")


def test_the_file_of_the_repository_leads_to_the_page() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    assert "](docs/explanation/security.md)" in text
    assert {"Reporting", "Supported versions"} <= set(re.findall(r"^## (.+)$", text, re.MULTILINE))
    assert len(text.splitlines()) <= 20

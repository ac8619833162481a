"""Folders of this project, for tests that read its files."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
ROOT = TESTS.parent
DOCS = ROOT / "docs"
MEDIA = ROOT / "examples" / "media"
MUTANTS = TESTS / "mutants"

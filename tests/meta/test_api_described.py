"""Tests that each public name is on exactly one page of docs/reference/api, and that each name on these pages exists."""

from __future__ import annotations

import importlib
import re
from collections import Counter
from collections.abc import Iterable

import timim
import timim.media
import timim.testing
from tests.support.paths import DOCS

DIRECTIVE = re.compile(r"^::: (\S+)$", re.MULTILINE)


def public_names() -> set[str]:
    """Return the full names of the public names in `timim`, `timim.media` and `timim.testing`."""
    return {f"{module.__name__}.{name}" for module in (timim, timim.media, timim.testing) for name in module.__all__}


def described(pages: Iterable[str]) -> Counter[str]:
    return Counter(name for page in pages for name in DIRECTIVE.findall(page))


def differences(names: set[str], pages: Iterable[str]) -> list[str]:
    """Return a line for each of `names` that is not on exactly one page."""
    found = described(pages)
    return [f"{name} is described {found[name]} times" for name in sorted(names) if found[name] != 1]


def pages() -> list[str]:
    return [path.read_text() for path in sorted((DOCS / "reference" / "api").glob("*.md"))]


def test_each_public_name_is_on_exactly_one_page() -> None:
    assert differences(public_names(), pages()) == []


def test_each_described_name_exists() -> None:
    for name in described(pages()):
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name


def test_missing_and_repeated_names_are_found() -> None:
    assert differences({"timim.A", "timim.B", "timim.C"}, ["::: timim.A\n\n::: timim.B\n", "::: timim.B\n"]) == [
        "timim.B is described 2 times",
        "timim.C is described 0 times",
    ]

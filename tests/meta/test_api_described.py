"""Every public name has its place in the API reference, once."""

from __future__ import annotations

import re
from collections import Counter

import timim
import timim.testing
from tests.support.paths import DOCS

DIRECTIVE = re.compile(r"^::: ([\w.]+)$", re.MULTILINE)


def test_each_public_name_is_on_one_page_of_the_api_reference() -> None:
    described = Counter(
        name for page in (DOCS / "reference" / "api").glob("*.md") for name in DIRECTIVE.findall(page.read_text())
    )
    public = [f"timim.{name}" for name in timim.__all__] + [f"timim.testing.{name}" for name in timim.testing.__all__]
    assert described == Counter(public)

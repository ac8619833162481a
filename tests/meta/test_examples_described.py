"""Tests that the deployment examples use only existing settings."""

from __future__ import annotations

import re

from tests.support.paths import ROOT
from timim.server.settings import Settings


def test_every_setting_that_the_examples_name_exists() -> None:
    named: set[str] = set()
    for file in (ROOT / "examples" / "deploy").iterdir():
        named |= {name.lower() for name in re.findall(r"TIMIM_([A-Z_0-9]+)", file.read_text())}
    assert named - {"image"} <= Settings.model_fields.keys()
    assert {"database", "bus", "secret_key"} <= named

"""Tests of the check in `make types`, which reports public names whose type is unknown."""

from __future__ import annotations

import importlib.util
from types import ModuleType
from typing import Any

import pytest

from tests.support.paths import ROOT


@pytest.fixture(scope="module")
def checker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("verify_types", ROOT / ".ci" / "verify_types.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def symbol(name: str, *, category: str = "class", known: bool = True, reasons: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "name": name,
        "category": category,
        "isExported": True,
        "isTypeKnown": known,
        "isTypeAmbiguous": False,
        "diagnostics": [{"message": reason} for reason in reasons],
    }


def test_public_names_are_those_of_timim_its_loose_modules_and_two_packages(checker: ModuleType) -> None:
    names = ["timim.Client", "timim.client.Client.on", "timim.testing.running_server", "timim.server.Settings"]
    inner = ["timim.engine.engine.Engine", "timim.server.app.Server", "timim.testing.server.RunningServer.url"]
    symbols = [symbol(name) for name in [*names, *inner]] + [symbol("timim.client", category="module")]
    assert [one["name"] for one in checker.public_symbols({"symbols": symbols})] == names


def test_an_unknown_type_is_reported_by_its_cause_without_its_consequences(checker: ModuleType) -> None:
    missing = symbol("timim.client.Client.user_id", known=False, reasons=("Type is missing type annotation",))
    consequence = symbol("timim.Client", known=False, reasons=("Type is partially unknown", "No docstring found"))
    assert checker.causes([missing, consequence]) == ["timim.client.Client.user_id: Type is missing type annotation"]

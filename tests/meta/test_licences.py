"""Tests that the page of licences is current, that the core has no package under the GPL, and that the SBOM is complete."""

from __future__ import annotations

import json
from typing import Any

import pytest
from packaging.requirements import Requirement
from PIL import features

from tools import licences_page, sbom
from tools.runtime_packages import (
    CORE,
    GPL,
    LOCK,
    REVIEWED,
    RuntimePackage,
    locked_versions,
    names_gpl,
    requirements_by_extra,
    runtime_packages,
)

WITHOUT_COPYLEFT = {CORE, "cli", "server", "cluster"}


@pytest.fixture(scope="module")
def packages() -> list[RuntimePackage]:
    return runtime_packages()


@pytest.fixture(scope="module")
def bill() -> dict[str, Any]:
    return sbom.document()


def test_the_page_has_the_installed_packages() -> None:
    text = licences_page.PAGE.read_text(encoding="utf-8")
    assert text == licences_page.page(text), "run make licences"


def test_no_package_is_under_a_licence_of_the_gpl_family(packages: list[RuntimePackage]) -> None:
    assert [each for each in packages if GPL.search(each.licence)] == []


def test_licence_files_that_name_the_gpl_were_read(packages: list[RuntimePackage]) -> None:
    assert {each.name for each in packages if names_gpl(each.name)} == REVIEWED.keys()


def test_core_and_server_have_no_wheel_with_a_part_under_the_gpl(packages: list[RuntimePackage]) -> None:
    noted = {each.name: each.brought_by for each in packages if REVIEWED.get(each.name)}
    assert noted == {"numpy": ("dataframe",), "pillow-heif": ("heic",)}
    assert not WITHOUT_COPYLEFT & {extra for extras in noted.values() for extra in extras}


def test_the_wheel_of_pillow_has_no_part_under_the_gpl_that_a_build_can_add() -> None:
    assert features.version_feature("libimagequant") is None


def test_the_packages_are_those_that_the_extras_name_and_no_development_package(packages: list[RuntimePackage]) -> None:
    names = {each.name for each in packages}
    named = {each.name for lines in requirements_by_extra().values() for each in lines} - {"timim"}
    assert named <= names
    assert not names & {"pytest", "mypy", "ruff", "cyclonedx-bom", "zensical", "hypothesis", "timim"}
    by_name = {each.name: each.brought_by for each in packages}
    assert by_name["msgspec"] == (CORE,)
    assert by_name["typer"] == ("cli", "server", "tui")
    assert by_name["uvicorn"] == ("server",)


def test_every_extra_is_covered() -> None:
    assert {Requirement(line).name for line in ("msgspec", "websockets")} <= {
        each.name for each in requirements_by_extra()[CORE]
    }
    assert requirements_by_extra().keys() >= WITHOUT_COPYLEFT
    assert "dev" not in requirements_by_extra()


def test_the_bill_of_materials_has_each_package_in_its_locked_version(
    bill: dict[str, Any], packages: list[RuntimePackage]
) -> None:
    components = {each["purl"] for each in bill["components"]}
    assert components == {f"pkg:pypi/{each.name}@{each.version}" for each in packages}
    locked = locked_versions(LOCK.read_text(encoding="utf-8"))
    assert [each.name for each in packages if each.version not in locked[each.name]] == []
    assert [each["name"] for each in bill["components"] if not each.get("licenses")] == []
    assert bill["metadata"]["component"]["name"] == "timim"


def test_the_bill_of_materials_has_the_dependencies(bill: dict[str, Any]) -> None:
    refs = {each["bom-ref"]: each["name"].lower() for each in bill["components"]}
    needed = {each["ref"]: {refs[ref] for ref in each.get("dependsOn", ())} for each in bill["dependencies"]}
    assert needed.keys() == refs.keys() | {"root-component"}
    named = {each.name.lower() for lines in requirements_by_extra().values() for each in lines} - {"timim"}
    assert {name.replace("_", "-") for name in needed["root-component"]} == named


def test_a_bill_of_materials_is_valid_by_the_schema_and_a_wrong_one_is_not(bill: dict[str, Any]) -> None:
    part = bill | {"components": bill["components"][:3], "dependencies": []}  # all of them take 10 s; `make sbom` validates all
    assert sbom.fault_of(json.dumps(part)) is None
    assert sbom.fault_of(json.dumps(part | {"components": [{"name": "x"}]})) is not None

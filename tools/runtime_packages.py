"""The packages that users of timim install: those of the client and of each extra but `dev`, in the versions of the lock.

They are found from pyproject.toml and the metadata of this environment, so packages of other platforms are left out.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
OWN_NAME = "timim"
CORE = "core"  # stands for an installation without extras
DEVELOPMENT = "dev"
LOCKED = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?==([^\s;\\]+)", re.MULTILINE)
CLASSIFIER = "License :: OSI Approved :: "
SPDX_OF_CLASSIFIER = {"Apache Software License": "Apache-2.0", "ISC License (ISCL)": "ISC", "MIT License": "MIT"}
LICENCE_FILE = re.compile(r"\.dist-info/.*(licen[cs]e|copying|notice|sbom)", re.IGNORECASE)
GPL = re.compile(r"\b[AL]?GPL|\bGNU (Lesser|Library|Affero)? ?General Public")
# Packages whose licence files name a licence of the GPL family, with the result of reading them: empty if it applies to no part
# of the package.
REVIEWED = {
    "numpy": "The wheels contain libgfortran (GPL-3.0-or-later with the GCC exception) and libquadmath (LGPL-2.1-or-later) as "
    "shared libraries. Both allow use by a program under any licence.",
    "pandas": "",  # the text of Python's licence compares it with the GPL
    "pexpect": "",  # "GPL-compatible"
    "pillow": "",  # the wheels contain neither libimagequant nor FriBiDi, which a build can add: tests/meta/test_licences.py
    "pillow-heif": "The wheels contain x265 (GPL-2.0), libheif and libde265 (LGPL-3.0). So the GPL applies to a program that "
    "is distributed together with such a wheel. Nothing but the extra `heic` brings this package.",
    "pydantic-core": "",  # a choice: "MIT OR Apache-2.0 OR LGPL-2.1-or-later" of a Rust crate
    "typing-extensions": "",  # the text of Python's licence compares it with the GPL
}


@dataclass(frozen=True, slots=True)
class RuntimePackage:
    """A package that users install.

    Attributes:
        name: The normalised name.
        version: The version in this environment and in the lock.
        licence: An SPDX expression, or the words of the package's metadata where they name no single licence.
        brought_by: `core` alone if the client needs it, otherwise the extras that bring it.
        direct: Whether pyproject.toml names it outside of the extra `dev`.
    """

    name: str
    version: str
    licence: str
    brought_by: tuple[str, ...]
    direct: bool


def project() -> dict[str, str | list[str] | dict[str, list[str]]]:
    """Return the table [project] of pyproject.toml."""
    loaded: dict[str, str | list[str] | dict[str, list[str]]]
    loaded = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return loaded


def requirements_by_extra() -> dict[str, list[Requirement]]:
    """Return what pyproject.toml requires for `core` and for each extra but `dev`."""
    table = project()
    core, extras = table["dependencies"], table["optional-dependencies"]
    assert isinstance(core, list)
    assert isinstance(extras, dict)
    named = {CORE: core} | {extra: lines for extra, lines in extras.items() if extra != DEVELOPMENT}
    return {extra: [Requirement(line) for line in lines] for extra, lines in named.items()}


def locked_versions(lock: str) -> dict[str, set[str]]:
    """Return the versions of each package in the text of a lock; a package has several if they differ between platforms."""
    versions: dict[str, set[str]] = {}
    for name, version in LOCKED.findall(lock):
        versions.setdefault(canonicalize_name(name), set()).add(version)
    return versions


def installed_by(requirement: Requirement, extra: str = "") -> Iterator[str]:
    """Yield the normalised names of the packages that a requirement installs here, itself included."""
    if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
        return
    name = canonicalize_name(requirement.name)
    yield name
    for chosen in ("", *requirement.extras):
        for line in distribution(name).requires or ():
            yield from installed_by(Requirement(line), chosen)


def names_of_extra(extra: str, required: dict[str, list[Requirement]]) -> set[str]:
    """Return the packages that an extra brings, by other extras of timim too (`timim[cli]`)."""
    names: set[str] = set()
    for requirement in required[extra]:
        if canonicalize_name(requirement.name) == OWN_NAME:
            names = names.union(*(names_of_extra(inner, required) for inner in requirement.extras))
        else:
            names.update(installed_by(requirement))
    return names


def licence_of(found: Distribution) -> str:
    """Return the licence that a package's metadata states.

    Raises:
        ValueError: The metadata state none.
    """
    metadata = found.metadata
    expression, text = metadata["License-Expression"], metadata["License"] or ""
    if expression:
        return str(expression)
    try:
        return canonicalize_license_expression(text)
    except InvalidLicenseExpression:
        classified = [
            line.removeprefix(CLASSIFIER) for line in metadata.get_all("Classifier") or () if line.startswith(CLASSIFIER)
        ]
        if classified:
            return " AND ".join(SPDX_OF_CLASSIFIER.get(words, words) for words in classified)
    if not text or "\n" in text:
        raise ValueError(f"the metadata of {metadata['Name']} state no licence: read its licence file, and choose")
    return str(text)


def runtime_packages() -> list[RuntimePackage]:
    """Return the packages that users install, by name.

    Raises:
        ValueError: A package is installed in a version that the lock does not have, or states no licence.
    """
    required = requirements_by_extra()
    direct = {canonicalize_name(each.name) for lines in required.values() for each in lines}
    brought: dict[str, list[str]] = {}
    for extra in required:
        for name in names_of_extra(extra, required):
            brought.setdefault(name, []).append(extra)
    locked = locked_versions(LOCK.read_text(encoding="utf-8"))
    packages = []
    for name, extras in sorted(brought.items()):
        found = distribution(name)
        if found.version not in locked.get(name, ()):
            raise ValueError(f"{name} {found.version} is installed, but is not in {LOCK.name}: run make setup")
        by = (CORE,) if CORE in extras else tuple(extras)
        packages.append(RuntimePackage(name, found.version, licence_of(found), by, name in direct))
    return packages


def names_gpl(name: str) -> bool:
    """Return whether a licence file of a package, or the bill of materials in its wheel, names a licence of the GPL family."""
    paths = [Path(str(file.locate())) for file in distribution(name).files or () if LICENCE_FILE.search(str(file))]
    return any(GPL.search(path.read_text(encoding="utf-8", errors="replace")) for path in paths)

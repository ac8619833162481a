"""Compare requirements.lock with a database of known vulnerabilities, without network.

    .venv/bin/python -m tools.audit DATABASE [LOCK]

DATABASE is a folder or a zip file of OSV records, one JSON file each, such as `PyPI/all.zip` of the OSV project. Exit status:
0 if no locked version is affected, 1 if one is, 2 if the database or the lock cannot be evaluated completely.

A version is affected if a record lists it, or if it is in a range: the rules are those of the OSV schema, section "Evaluation".
Versions are compared as PEP 440 says. Ranges of Git commits are left out, because their records list the versions too.
"""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from tools.runtime_packages import LOCK, locked_versions

ECOSYSTEM = "PyPI"
FIRST = "0"  # an introduced version that sorts before all versions
NO_LIMIT = "*"


class Event(msgspec.Struct):
    """A change in a range: exactly one field is set."""

    introduced: str | None = None
    fixed: str | None = None
    last_affected: str | None = None
    limit: str | None = None

    def __post_init__(self) -> None:
        if sum(value is not None for value in msgspec.structs.astuple(self)) != 1:
            raise ValueError("an event has exactly one of introduced, fixed, last_affected and limit")

    @property
    def sort_key(self) -> tuple[bool, Version]:
        """Order events by version, `introduced: 0` first."""
        text = self.introduced or self.fixed or self.last_affected or ""
        first = self.introduced == FIRST
        return not first, Version(FIRST if first else text)


class Range(msgspec.Struct):
    """A range of affected versions: the events in it, in any order."""

    type: Literal["ECOSYSTEM", "SEMVER", "GIT"]
    events: list[Event]

    def __post_init__(self) -> None:
        if all(event.introduced is None for event in self.events):
            raise ValueError("a range has at least one introduced version")

    def contains(self, version: Version) -> bool:
        """Return whether the range has a version.

        Raises:
            InvalidVersion: An event names a version that PEP 440 does not have.
        """
        limits = [event.limit for event in self.events if event.limit is not None]
        if limits and not any(limit == NO_LIMIT or version < Version(limit) for limit in limits):
            return False
        affected = False
        for event in sorted((event for event in self.events if event.limit is None), key=lambda event: event.sort_key):
            if event.introduced is not None:
                affected = affected or event.introduced == FIRST or version >= Version(event.introduced)
            elif event.fixed is not None:
                affected = affected and version < Version(event.fixed)
            elif event.last_affected is not None:
                affected = affected and version <= Version(event.last_affected)
        return affected


class Package(msgspec.Struct):
    """The package that a part of a record is about."""

    ecosystem: str
    name: str

    @property
    def is_python(self) -> bool:
        """Whether it is a package of PyPI. An ecosystem can name its index after a colon."""
        return self.ecosystem.partition(":")[0] == ECOSYSTEM


class Affected(msgspec.Struct):
    """The affected versions of one package. Records about Git repositories alone name no package."""

    package: Package | None = None
    ranges: list[Range] | None = None
    versions: list[str] | None = None

    def contains(self, version: Version) -> bool:
        """Return whether a version is affected.

        Raises:
            InvalidVersion: No entry has the version, and an event names a version that PEP 440 does not have.
        """
        if any(same_version(listed, version) for listed in self.versions or ()):
            return True
        return any(each.contains(version) for each in self.ranges or () if each.type != "GIT")


class Record(msgspec.Struct):
    """A record of the database, with the fields that the audit reads."""

    id: str
    modified: str
    withdrawn: str | None = None
    aliases: list[str] | None = None
    summary: str = ""
    affected: list[Affected] | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """A locked version that a record says is affected."""

    name: str
    version: str
    record: Record

    def __str__(self) -> str:
        """Name the version, the record, its other names, and the versions with a fix."""
        fixed = {
            event.fixed
            for affected in self.record.affected or ()
            if affected.package is not None and canonicalize_name(affected.package.name) == self.name
            for each in affected.ranges or ()
            for event in each.events
            if event.fixed is not None and each.type != "GIT"
        }
        names = " ".join((self.record.id, *(self.record.aliases or ())))
        remedy = f"fixed in {', '.join(sorted(fixed))}" if fixed else "no fixed version is known"
        return f"{self.name} {self.version}: {names}: {self.record.summary or 'no summary'} ({remedy})"


@dataclass(frozen=True, slots=True)
class Report:
    """The result of an audit.

    Attributes:
        findings: The affected versions.
        faults: The records that could not be evaluated, each with its reason.
        records: The number of records that are about Python packages.
    """

    findings: list[Finding]
    faults: list[str]
    records: int


def same_version(listed: str, version: Version) -> bool:
    """Return whether a listed version is this one; a version that PEP 440 does not have is in no lock."""
    try:
        return Version(listed) == version
    except InvalidVersion:
        return False


def files_of(database: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of each JSON file in a folder or a zip file."""
    if database.is_dir():
        for path in sorted(database.rglob("*.json")):
            yield str(path.relative_to(database)), path.read_bytes()
        return
    with zipfile.ZipFile(database) as archive:
        for name in archive.namelist():
            if name.endswith(".json"):
                yield name, archive.read(name)


def findings_of(record: Record, locked: dict[str, set[str]]) -> Iterator[Finding]:
    """Yield the locked versions that a record says are affected."""
    for affected in record.affected or ():
        if affected.package is None or not affected.package.is_python:
            continue
        name = canonicalize_name(affected.package.name)
        for version in sorted(locked.get(name, ())):
            if affected.contains(Version(version)):
                yield Finding(name, version, record)


def audit(database: Path, locked: dict[str, set[str]]) -> Report:
    """Compare locked versions with the records of a database. A record that cannot be read hides no other record."""
    decoder = msgspec.json.Decoder(Record)
    found: dict[tuple[str, str, str], Finding] = {}
    faults, records = [], 0
    for name, content in files_of(database):
        try:
            record = decoder.decode(content)
            if record.withdrawn is None:
                found |= {(each.name, each.version, record.id): each for each in findings_of(record, locked)}
        except (msgspec.DecodeError, UnicodeDecodeError, InvalidVersion) as exc:
            faults.append(f"{name}: {exc}")
        else:
            records += any(each.package is not None and each.package.is_python for each in record.affected or ())
    return Report([found[key] for key in sorted(found)], faults, records)


def main(arguments: list[str]) -> int:
    """Print the affected versions and the records that cannot be evaluated, and return the exit status."""
    if len(arguments) not in {1, 2}:
        print(__doc__, file=sys.stderr)
        return 2
    database, lock = Path(arguments[0]), Path(arguments[1]) if len(arguments) == 2 else LOCK
    try:
        locked = locked_versions(lock.read_text(encoding="utf-8"))
        report = audit(database, locked)
    except (OSError, zipfile.BadZipFile) as exc:
        print(f"audit: cannot read {database}, a folder or a zip file of OSV records: {exc}", file=sys.stderr)
        return 2
    for finding in report.findings:
        print(finding)
    for fault in report.faults:
        print(f"audit: cannot evaluate the record {fault}", file=sys.stderr)
    print(f"audit: {len(report.findings)} findings, {len(locked)} packages, {report.records} records of {ECOSYSTEM}")
    if report.findings:
        return 1
    if report.records == 0 or not locked:
        print(
            f"audit: {database} has no record of {ECOSYSTEM}, or {lock.name} no package; nothing was compared", file=sys.stderr
        )
    return 2 if report.faults or report.records == 0 or not locked else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

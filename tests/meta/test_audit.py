"""Tests that the audit of the lock finds what a database of OSV records says is affected, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

from tests.support.paths import ROOT
from tools.audit import Event, Range, audit, main
from tools.runtime_packages import LOCK, locked_versions

LOCKED = {"aiofiles": {"25.1.0"}, "typing-extensions": {"4.16.0"}, "numpy": {"2.4.6", "2.5.0"}}
# Run by an interpreter that refuses every use of a socket.
OFFLINE = """
import sys

def refuse(event, arguments):
    if event.startswith("socket."):
        raise PermissionError(event)

sys.addaudithook(refuse)
from tools.audit import main
sys.exit(main(sys.argv[1:]))
"""


def record(name: str, *events: dict[str, str], versions: list[str] | None = None, **fields: Any) -> dict[str, Any]:
    affected: dict[str, Any] = {"package": {"ecosystem": fields.pop("ecosystem", "PyPI"), "name": name}}
    if events:
        affected["ranges"] = [{"type": fields.pop("kind", "ECOSYSTEM"), "events": list(events)}]
    if versions is not None:
        affected["versions"] = versions
    return {"id": "PYSEC-1", "modified": "2026-01-01T00:00:00Z", "affected": [affected]} | fields


def database(folder: Path, *records: dict[str, Any] | str) -> Path:
    for number, each in enumerate(records):
        text = each if isinstance(each, str) else json.dumps(each)
        (folder / f"{number}.json").write_text(text, encoding="utf-8")
    return folder


ALL = {"introduced": "0"}
AFFECTED = [
    pytest.param(record("aiofiles", ALL), id="every version"),
    pytest.param(record("aiofiles", ALL, {"fixed": "25.1.1"}), id="before the fix"),
    pytest.param(record("aiofiles", {"introduced": "25.1"}, {"last_affected": "25.1.0"}), id="first and last"),
    pytest.param(record("aiofiles", {"fixed": "25.2"}, {"introduced": "25"}, {"fixed": "24"}, ALL), id="unsorted"),
    pytest.param(record("aiofiles", ALL, {"fixed": "25.1.0"}, {"introduced": "25.1.0"}), id="introduced again by the fix"),
    pytest.param(record("aiofiles", ALL, {"limit": "3"}, {"limit": "*"}), id="one limit of two"),
    pytest.param(record("AioFiles", ALL, kind="SEMVER"), id="another spelling, semantic versions"),
    pytest.param(record("aiofiles", versions=["1.0", "25.1"]), id="listed, spelled otherwise"),
    pytest.param(record("aiofiles", ALL, {"fixed": "3"}, versions=["25.1.0"]), id="listed, out of the range"),
    pytest.param(record("aiofiles", ALL, ecosystem="PyPI:index"), id="ecosystem with an index"),
    pytest.param(record("typing_extensions", {"introduced": "4.16.0rc1"}, {"fixed": "4.17"}), id="since a release candidate"),
    pytest.param(record("numpy", ALL, {"fixed": "2.5.0"}), id="one of two locked versions"),
]
NOT_AFFECTED = [
    pytest.param(record("aiofiles", ALL, {"fixed": "25.1.0"}), id="fixed in the locked version"),
    pytest.param(record("aiofiles", ALL, {"last_affected": "25.0.9"}), id="after the last affected version"),
    pytest.param(record("aiofiles", {"introduced": "25.1.1"}), id="introduced later"),
    pytest.param(record("aiofiles", ALL, {"limit": "25.1.0"}), id="behind the limit"),
    pytest.param(record("aiofiles", ALL, withdrawn="2026-02-01T00:00:00Z"), id="withdrawn"),
    pytest.param(record("aiofiles", ALL, ecosystem="npm"), id="another ecosystem"),
    pytest.param(record("other", ALL), id="another package"),
    pytest.param(record("aiofiles", {"introduced": "a1b2c3"}, kind="GIT"), id="range of commits"),
    pytest.param(record("aiofiles", versions=["25.1.0.dev-r1", "1.0"]), id="a listed version that is none"),
    pytest.param({"id": "X", "modified": "", "affected": [{"versions": ["25.1.0"]}]}, id="no package"),
]
MALFORMED = [
    pytest.param("{", id="no JSON"),
    pytest.param("[]", id="no object"),
    pytest.param('{"affected": []}', id="no id"),
    pytest.param(record("aiofiles", ALL | {"fixed": "3"}), id="two in one event"),
    pytest.param(record("aiofiles", {"fixed": "3"}), id="nothing introduced"),
    pytest.param(record("aiofiles", {"introduced": "r12-x"}), id="a version that is none"),
    pytest.param(record("aiofiles", ALL, kind="DATE"), id="unknown kind of range"),
    pytest.param(record("aiofiles") | {"affected": "25.1.0"}, id="a text for a list"),
]


@pytest.mark.parametrize("each", AFFECTED)
def test_an_affected_version_is_found(each: dict[str, Any], tmp_path: Path) -> None:
    report = audit(database(tmp_path, each), LOCKED)
    assert len(report.findings) == 1
    assert (report.faults, report.records) == ([], 1)


@pytest.mark.parametrize("each", NOT_AFFECTED)
def test_a_version_that_is_not_affected_is_not_found(each: dict[str, Any], tmp_path: Path) -> None:
    report = audit(database(tmp_path, each), LOCKED)
    assert (report.findings, report.faults) == ([], [])


@pytest.mark.parametrize("each", MALFORMED)
def test_a_malformed_record_is_reported_and_hides_no_other(each: dict[str, Any] | str, tmp_path: Path) -> None:
    report = audit(database(tmp_path, each, record("numpy", ALL)), LOCKED)
    assert [(each.name, each.version) for each in report.findings] == [("numpy", "2.4.6"), ("numpy", "2.5.0")]
    (fault,) = report.faults
    assert fault.startswith("0.json: ")


def test_an_upper_end_is_part_of_the_range_only_if_it_is_the_last_affected_version() -> None:
    fixed = Range("ECOSYSTEM", [Event(introduced="1"), Event(fixed="2")])
    last = Range("ECOSYSTEM", [Event(introduced="1"), Event(last_affected="2")])
    assert [each.contains(Version("2.0")) for each in (fixed, last)] == [False, True]


def test_a_finding_names_the_version_the_record_and_the_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    each = record("aiofiles", ALL, {"fixed": "99"}, aliases=["CVE-2026-1"], summary="Reads too much")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("PYSEC-1.json", json.dumps(each))
    assert main([str(tmp_path / "all.zip")]) == 1
    (version,) = locked_versions(LOCK.read_text())["aiofiles"]
    first, _ = capsys.readouterr().out.splitlines()
    assert first == f"aiofiles {version}: PYSEC-1 CVE-2026-1: Reads too much (fixed in 99)"


def test_the_exit_status_tells_clean_affected_and_not_evaluated_apart(tmp_path: Path) -> None:
    folders = [tmp_path / str(number) for number in range(5)]
    for folder in folders:
        folder.mkdir()
    harmless = record("aiofiles", ALL, {"fixed": "1"})
    contents: list[tuple[dict[str, Any] | str, ...]] = [
        (harmless,),
        (harmless, record("msgspec", ALL)),
        (harmless, "{"),
        (record("msgspec", ALL), "{"),
        (),
    ]
    for folder, content in zip(folders, contents, strict=True):
        database(folder, *content)
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"PK")
    databases = [*folders, tmp_path / "missing", broken]
    assert [main([str(each)]) for each in databases] == [0, 1, 2, 1, 2, 2, 2]
    assert [main([]), main([str(folders[0]), str(broken)])] == [2, 2]


def test_the_audit_uses_no_network(tmp_path: Path) -> None:
    database(tmp_path, record("msgspec", ALL))
    run = [sys.executable, "-c", OFFLINE, str(tmp_path)]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("msgspec ")


def test_every_package_of_the_lock_is_compared() -> None:
    entries = [line for line in LOCK.read_text().splitlines() if line and line[0] not in "# "]
    assert sum(map(len, locked_versions(LOCK.read_text()).values())) == len(entries) > 100

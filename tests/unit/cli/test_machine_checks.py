"""Tests of the checks of `timim doctor` that need no server."""

from __future__ import annotations

import resource
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from timim.cli import machine_checks
from timim.cli.machine_checks import check_disk, check_limits, check_versions
from timim.server.settings import Settings


def test_a_full_and_a_slow_disk_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def space() -> bool | None:
        return next(finding.good for finding in check_disk(tmp_path / "new" / "data") if finding.subject == "space")

    for free, good in ((1 << 40, True), (1 << 29, None), (1 << 20, False)):
        monkeypatch.setattr(shutil, "disk_usage", lambda path, free=free: SimpleNamespace(free=free))
        assert space() is good
    monkeypatch.setattr(machine_checks, "SLOW_COMMIT_S", 0)
    assert check_disk(tmp_path)[0].good is None
    assert list(tmp_path.iterdir()) == []


def test_few_open_files_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    for hard, good in ((resource.RLIM_INFINITY, True), (1 << 16, True), (1024, None)):
        monkeypatch.setattr(resource, "getrlimit", lambda kind, hard=hard: (256, hard))
        assert check_limits().good is good


def test_missing_and_old_packages_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def findings(settings: Settings, **installed: str) -> dict[str, bool | None]:
        have = {"uvicorn": "99", "asyncpg": "99"} | installed
        monkeypatch.setattr(machine_checks, "_installed", lambda name: have.get(name, "99"))
        return {finding.text: finding.good for finding in check_versions(settings) if finding.subject == "packages"}

    single, cluster = Settings(), Settings(database="postgresql://h/d")
    assert list(findings(single).values()) == [True]
    assert findings(single, uvicorn="0.1") == {"uvicorn 0.1, not 0.40: run pip install --upgrade 'timim[server]'": False}
    (shown,) = findings(single, asyncpg="")
    assert "not installed: cluster" in shown
    assert findings(cluster, asyncpg="") == {"asyncpg is missing: run pip install --upgrade 'timim[cluster]'": False}

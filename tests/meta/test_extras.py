"""Tests that the client needs no package of an extra, and that the command line without its packages says how to get them."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement

from tests.support.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TOOLS = ("timim.server", "timim.testing", "timim.loadtest", "timim.cli.tui", "timim.cli")
# the import hook of an installation without some packages
BLOCKER = """
import sys

class Blocker:
    def __init__(self, names):
        self.names = names

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker(set(sys.argv.pop(1).split(","))))
"""
IMPORT_CLIENT = """
import importlib, pkgutil, timim

for module in pkgutil.walk_packages(timim.__path__, "timim.", onerror=None):
    if not module.name.startswith(tuple(sys.argv[1:])):
        importlib.import_module(module.name)
"""
SHOW_PROGRESS = """
import timim
sys.stderr.isatty = lambda: True
with timim.ProgressBar("cat.jpg") as bar:
    bar(1, 4)
    bar(4, 4)
"""
RUN_COMMAND = """
from timim.cli import main
sys.argv = ["timim", "tail"]
main()
"""


def names_of(requirement: str, extra: str = "") -> set[str]:
    """Return the distributions that a requirement installs, itself included."""
    parsed = Requirement(requirement)
    if parsed.marker is not None and not parsed.marker.evaluate({"extra": extra}):
        return set()
    found = {parsed.name.lower().replace("_", "-")}
    for chosen in ("", *parsed.extras):
        for inner in requires(parsed.name) or []:
            found |= names_of(inner, chosen)
    return found


def packages_of_extras() -> set[str]:
    """Return the top-level packages of this environment that an installation of `timim` alone does not have."""
    client = set().union(*(names_of(each) for each in PROJECT["dependencies"])) | {"timim"}
    return {
        package
        for package, owners in packages_distributions().items()
        if not client & {owner.lower().replace("_", "-") for owner in owners}
    }


def run(code: str, missing: set[str], folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BLOCKER + code, ",".join(sorted(missing)), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)


def test_the_client_imports_without_the_packages_of_the_extras(tmp_path: Path) -> None:
    missing = packages_of_extras()
    assert {"typer", "rich", "shellingham", "pygments", "starlette", "uvicorn"} <= missing
    done = run(IMPORT_CLIENT, missing, tmp_path, *TOOLS)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_check_sees_a_module_that_needs_an_extra(tmp_path: Path) -> None:
    done = run(IMPORT_CLIENT, {"msgspec"}, tmp_path, *TOOLS)
    assert "No module named 'msgspec'" in done.stderr


def test_a_progress_bar_without_rich_is_a_line_of_text(tmp_path: Path) -> None:
    done = run(SHOW_PROGRESS, {"rich"}, tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.splitlines() == ["", "cat.jpg  25 %", "cat.jpg 100 %"]  # text mode reads \r as the end of a line


def test_the_command_without_its_packages_prints_how_to_install_them(tmp_path: Path) -> None:
    done = run(RUN_COMMAND, {"typer", "rich"}, tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "needs the package typer;" in line
    assert 'pip install "timim[cli]"' in line


def test_the_server_brings_the_command_line() -> None:
    extras = PROJECT["optional-dependencies"]
    assert {Requirement(each).name for each in extras["cli"]} == {"typer", "rich"}
    assert "timim[cli]" in extras["server"]

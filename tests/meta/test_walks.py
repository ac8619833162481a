"""Tests of references to code in the docs: `path.py::Class.method` exists, and each step of a walk leads to the next one.

A walk is a section of docs/explanation/message_lifecycle.md. Each of its numbered steps begins with one reference. The code of
an earlier step contains the name of the step's function, so that a reader can follow the definitions. A step marked *(hop)* is
reached in another way, which the step explains: by a queue, a callback or the network.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.support.paths import DOCS, ROOT

LIFECYCLE = DOCS / "explanation" / "message_lifecycle.md"
QUESTIONS = DOCS / "project" / "newcomer_questions.md"
REFERENCE = re.compile(r"`(?P<path>[\w/]+\.py)::(?P<name>[\w.]+)`")
MODULE = re.compile(r"`(?P<path>[\w/]+/\w+\.py)(?:::[\w.]+)?`")
STEP = re.compile(r"^\d+\. `(?P<path>[\w/]+\.py)::(?P<name>[\w.]+)`(?P<hop> \*\(hop\)\*)?:", re.MULTILINE)
PLACES = ("", "timim", "timim/server")  # prefixes that a page may leave out if all of its paths have them
HOPS = {"Send": 1, "Acknowledge": 1, "Serve": 4, "Receive": 1}  # the first word of a walk's title, and its number of hops


@dataclass(frozen=True)
class Step:
    """One step of a walk: a function, and a flag that is set if the code of earlier steps need not contain its name."""

    path: str
    name: str
    hop: bool


@cache
def parsed(source: str) -> ast.Module:
    return ast.parse(source)


def definition(source: str, name: str) -> ast.AST | None:
    """Return the definition of `Class.method`, `function`, `Class.attribute` or `CONSTANT` in a module, or None."""
    node: ast.AST = parsed(source)
    for part in name.split("."):
        found = next((child for child in ast.iter_child_nodes(node) if part in _defined(child)), None)
        if found is None:
            return None
        node = found
    return node


def _defined(node: ast.AST) -> set[str]:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return {node.name}
        case ast.Assign():
            return {target.id for target in node.targets if isinstance(target, ast.Name)}
        case ast.AnnAssign(target=ast.Name(id=name)):
            return {name}
        case _:
            return set()


def missing(page: str, sources: Mapping[str, str]) -> list[str]:
    """Return the references of a page to modules or definitions that do not exist."""
    return [
        f"{found['path']}::{found['name']}"
        for found in REFERENCE.finditer(page)
        if definition(sources.get(found["path"], ""), found["name"]) is None
    ]


def walks(page: str) -> dict[str, list[Step]]:
    """Return the steps of each section of a page that has steps, by the section's title."""
    sections = re.split(r"^## (.+)$", page, flags=re.MULTILINE)[1:]
    found = {
        title: [Step(step["path"], step["name"], step["hop"] is not None) for step in STEP.finditer(text)]
        for title, text in zip(sections[::2], sections[1::2], strict=True)
    }
    return {title: steps for title, steps in found.items() if steps}


def unreachable(steps: list[Step], sources: Mapping[str, str]) -> list[str]:
    """Return the steps of a walk that are not marked as a hop and whose function no earlier step refers to."""
    named: set[str] = set()
    lost: list[str] = []
    for number, step in enumerate(steps):
        last = step.name.rpartition(".")[2]
        if number and not step.hop and last not in named:
            lost.append(f"{step.path}::{step.name}")
        code = definition(sources[step.path], step.name)
        assert code is not None, step
        named |= {node.attr for node in ast.walk(code) if isinstance(node, ast.Attribute)}
        named |= {node.id for node in ast.walk(code) if isinstance(node, ast.Name)}
    return lost


@cache
def sources_of_code() -> dict[str, str]:
    folders = ("timim", "tests", "bench", "examples")
    files = [file for folder in folders for file in (ROOT / folder).rglob("*.py")]
    return {file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8") for file in files}


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_function_that_a_page_refers_to_exists(page: Path) -> None:
    assert missing(page.read_text(encoding="utf-8"), sources_of_code()) == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_module_that_a_page_names_exists(page: Path) -> None:
    paths = {found["path"] for found in MODULE.finditer(page.read_text(encoding="utf-8"))}
    assert [path for path in sorted(paths) if not any((ROOT / place / path).exists() for place in PLACES)] == []


def test_each_step_of_a_walk_is_named_by_a_step_before_it() -> None:
    found = walks(LIFECYCLE.read_text(encoding="utf-8"))
    sources = sources_of_code()
    assert {title: unreachable(steps, sources) for title, steps in found.items()} == {title: [] for title in found}


def test_no_walk_has_more_hops_than_it_had() -> None:
    found = walks(LIFECYCLE.read_text(encoding="utf-8"))
    assert {title.partition(":")[0]: sum(step.hop for step in steps) for title, steps in found.items()} == HOPS


def test_a_newcomer_gets_ten_questions_answered_by_a_function() -> None:
    page = QUESTIONS.read_text(encoding="utf-8")
    answers = re.split(r"^## ", page, flags=re.MULTILINE)[1:]
    assert len(answers) >= 10
    assert [answer.splitlines()[0] for answer in answers if not REFERENCE.search(answer)] == []


CODE = {
    "timim/a.py": "LIMIT = 1\nclass A:\n    size: int = 0\n    def send(self):\n        self.outbox.submit()\n",
    "timim/b.py": "class B:\n    def submit(self): pass\n    def other(self): pass\n",
}


def test_a_reference_to_nothing_is_found() -> None:
    good = "`timim/a.py::A.send` `timim/a.py::LIMIT` `timim/a.py::A.size` `timim/b.py::B`"
    assert missing(good, CODE) == []
    bad = ["timim/a.py::A.submit", "timim/a.py::send", "timim/c.py::A", "timim/b.py::B.submit.x"]
    assert missing(" ".join(f"`{reference}`" for reference in bad), CODE) == bad


def test_a_step_that_no_step_before_it_names_is_found() -> None:
    page = "# T\n## Walk\n1. `timim/a.py::A.send`: x\n2. `timim/b.py::B.{}`{}: y\n"
    (steps,) = walks(page.format("submit", "")).values()
    assert unreachable(steps, CODE) == []
    (steps,) = walks(page.format("other", "")).values()
    assert unreachable(steps, CODE) == ["timim/b.py::B.other"]
    (steps,) = walks(page.format("other", " *(hop)*")).values()
    assert unreachable(steps, CODE) == []

"""The table of the web client's documented methods in `docs/reference/web_client.md`, and the tests that it names."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.support.paths import DOCS, ROOT

PAGE = DOCS / "reference" / "web_client.md"
INTEROP = ROOT / "tests" / "interop"
ASSERTED, SERVED, REFUSED = "asserted", "served", "refused"
_ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| (.*?) \|$", re.MULTILINE)
_VERB = re.compile(r"^  (\w+): (?=[(\w])", re.MULTILINE)


class Method(NamedTuple):
    """A row: the method, its state, and the name of the test that calls it, or the reason of the refusal."""

    name: str
    state: str
    note: str


def table() -> list[Method]:
    """Return the rows of the page."""
    return [Method(*row) for row in _ROW.findall(PAGE.read_text())]


@cache
def _methods_of_verbs() -> dict[str, set[str]]:
    """Return the methods that each function of `judge.mjs` calls."""
    text = (INTEROP / "web" / "judge.mjs").read_text()
    parts = _VERB.split(text[text.index("const make = {") :])
    found: dict[str, set[str]] = {}
    for verb, body in zip(parts[1::2], parts[2::2], strict=True):
        found.setdefault(verb, set()).update(re.findall(r"\bchat\.(\w+)\(", body))
    return found


def methods_called(test: ast.AST) -> set[str]:
    """Return the methods that a test calls: by their own names, or by a function of `judge.mjs`."""
    words = {node.value for node in ast.walk(test) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    words |= {node.attr for node in ast.walk(test) if isinstance(node, ast.Attribute)}
    verbs = _methods_of_verbs()
    return words | {method for word in words for method in verbs.get(word, ())}


def called_by_tests(folder: Path) -> dict[str, set[str]]:
    """Return the tests with the web client, each with the methods that it names, itself or by a constant of its module."""
    found: dict[str, set[str]] = {}
    for path in sorted(folder.glob("test_web*.py")):
        tree = ast.parse(path.read_text())
        constants: dict[str, set[str]] = {}
        for node in tree.body:
            if isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                constants |= {target.id: methods_called(node) for target in targets if isinstance(target, ast.Name)}
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                names = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
                found[node.name] = methods_called(node).union(*(constants[name] for name in names & constants.keys()))
    return found

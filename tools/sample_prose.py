"""Print a random sample of the package's prose, without the code beside it, to be judged by a reader.

    .venv/bin/python tools/sample_prose.py [--seed 7] [--docstrings 60] [--errors 30] [--logs 30]

The sample is drawn from the syntax trees of timim/. The same seed and the same tree give the same sample. Placeholders of
f-strings are printed as `{expression}`. `--places` adds the file and the line of each text.
"""

from __future__ import annotations

import argparse
import ast
import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
LOG_METHODS = frozenset({"debug", "info", "warning", "error", "exception", "critical"})
MIN_WORDS = 2  # shorter texts are names, not prose


class Prose(NamedTuple):
    """One text and its place."""

    place: str
    text: str


def text_of(node: ast.expr) -> str | None:
    """Return the text of a string expression with placeholders as source, or None if the node is no string."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(
                "{" + ast.unparse(part.value) + "}" if isinstance(part, ast.FormattedValue) else text_of(part) or ""
                for part in parts
            )
        case ast.BinOp(left=left, op=ast.Add() | ast.Mod(), right=right):
            first, second = text_of(left), text_of(right)
            return first if first is None or second is None else first + second
        case _:
            return None


def is_prose(text: str) -> bool:
    """Return True if a text has enough words besides its placeholders."""
    return sum(word[0].isalpha() for word in text.split()) >= MIN_WORDS


def strings_in(call: ast.Call) -> Iterator[str]:
    """Yield the prose among the arguments of a call."""
    for argument in [*call.args, *(keyword.value for keyword in call.keywords)]:
        text = text_of(argument)
        if text is not None and is_prose(text):
            yield text


def docstrings(tree: ast.AST, place: str) -> Iterator[Prose]:
    """Yield the docstrings of modules, classes and functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield Prose(f"{place}:{getattr(node, 'lineno', 1)}", text)


def error_messages(tree: ast.AST, place: str) -> Iterator[Prose]:
    """Yield the messages of exceptions that are raised or created."""
    for node in ast.walk(tree):
        raised = node.exc if isinstance(node, ast.Raise) else None
        if isinstance(raised, ast.Call):
            for text in strings_in(raised):
                yield Prose(f"{place}:{node.lineno}", text)  # type: ignore[attr-defined]


def log_lines(tree: ast.AST, place: str) -> Iterator[Prose]:
    """Yield the formats of log calls."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="log" | "logger" | "_log"), attr=method), args=[first, *_]):
                text = text_of(first) if method in LOG_METHODS else None
                if text is not None and is_prose(text):
                    yield Prose(f"{place}:{node.lineno}", text)
            case _:
                pass


def main() -> None:
    """Print the sample."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--docstrings", type=int, default=60)
    parser.add_argument("--errors", type=int, default=30)
    parser.add_argument("--logs", type=int, default=30)
    parser.add_argument("--places", action="store_true", help="print where each text is")
    options = parser.parse_args()
    trees = [(ast.parse(path.read_text()), str(path.relative_to(ROOT))) for path in sorted((ROOT / "timim").rglob("*.py"))]
    kinds = (
        ("docstring", docstrings, options.docstrings),
        ("error", error_messages, options.errors),
        ("log", log_lines, options.logs),
    )
    for name, collect, count in kinds:
        found = [prose for tree, place in trees for prose in collect(tree, place)]
        drawn = random.Random(options.seed).sample(found, min(count, len(found)))
        print(f"# {len(drawn)} of {len(found)}: {name}\n")
        for number, (place, text) in enumerate(drawn, 1):
            print(f"## {name} {number}{f' ({place})' if options.places else ''}\n{text}\n")


main()

"""Tests that `docs/reference/errors.md` has one row for each error class, with its codes, cause and remedy."""

from __future__ import annotations

from tests.support.paths import DOCS
from timim import errors

DOCUMENT = DOCS / "reference" / "errors.md"
HEADER = ["code", "class", "cause", "remedy"]


def rows(text: str) -> list[list[str]]:
    """Return the cells of the table whose header is HEADER, row by row."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    begin = cells.index(HEADER) + 2  # skip the header and the line below it
    return cells[begin:]


def codes_of(kind: type[errors.TimimError]) -> str:
    """Return the cell for a class's codes: the code of a new instance first, then the others in ascending order."""
    ordered = [kind.code, *sorted(set(kind.__dict__.get("codes", ())) - {kind.code})]
    return ", ".join(str(code) for code in ordered) if kind.code else "–"


def differences(kinds: list[type[errors.TimimError]], text: str) -> list[str]:
    """Return a line for each difference between the classes and the rows of `text`."""
    found = []
    described = rows(text)
    names = [row[1] for row in described]
    found += [f"{kind.__name__} has {names.count(kind.__name__)} rows" for kind in kinds if names.count(kind.__name__) != 1]
    found += [f"there is no class {name}" for name in names if name not in {kind.__name__ for kind in kinds}]
    expected = {kind.__name__: codes_of(kind) for kind in kinds}
    for codes, name, cause, remedy in described:
        if codes != expected.get(name, codes):
            found.append(f"the codes of {name} are {expected[name]}, not {codes}")
        if not (cause.endswith(".") and remedy.endswith(".")):
            found.append(f"{name} lacks a cause or a remedy")
    return found


def all_kinds() -> list[type[errors.TimimError]]:
    public = [getattr(errors, name) for name in errors.__all__]
    return [kind for kind in public if isinstance(kind, type)]


def test_each_error_class_has_a_row_with_its_codes_and_each_row_has_a_class() -> None:
    assert differences(all_kinds(), DOCUMENT.read_text()) == []


def test_no_error_class_is_missing_in_the_public_list() -> None:
    defined = {kind.__name__ for kind in vars(errors).values() if isinstance(kind, type) and kind.__module__ == errors.__name__}
    assert defined == {kind.__name__ for kind in all_kinds()}


def test_differences_are_found_in_both_directions() -> None:
    table = "| code | class | cause | remedy |\n|---|---|---|---|\n"
    assert differences([errors.Muted], table) == ["Muted has 0 rows"]
    assert differences([], table + "| 1 | Vanished | A cause. | A remedy. |\n") == ["there is no class Vanished"]
    assert differences([errors.Muted], table + "| 10017 | Muted | A cause. |  |\n") == [
        "the codes of Muted are 10017, 20012, not 10017",
        "Muted lacks a cause or a remedy",
    ]

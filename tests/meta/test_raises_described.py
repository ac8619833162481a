"""Each public callable that can raise has a `Raises:` section, and the section names each error that the source shows."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import timim
from tests.support.paths import ROOT
from tests.support.raised_errors import Package, Place, undocumented

# Coroutines that raise no error of their own, and the reason.
NEVER_RAISE = {
    "EventStream.__aenter__": "returns the stream itself",
    "EventStream.__aexit__": "closes the stream, without waiting",
    "Client.__aexit__": "raises the errors of close()",
    "LocalStore.__aexit__": "raises the errors of close()",
}
# Methods of public classes that are not called by programs.
INTERNAL = {"bind", "bind_elems", "bind_unpacker", "load_body", "replace_elems", "update_from"}
SPECIAL = {"__init__", "__call__", "__aiter__", "__anext__", "__await__", "__aenter__", "__aexit__", "__getitem__", "__iter__"}


def package() -> Package:
    paths = sorted((ROOT / "timim").rglob("*.py"))
    return Package({".".join(path.relative_to(ROOT).with_suffix("").parts): path.read_text() for path in paths})


def public_callables(read: Package) -> Iterator[Place]:
    """Yield the functions of `timim.__all__`, and the methods of its classes, inherited ones included."""
    for name in timim.__all__:
        value = getattr(timim, name)
        if inspect.isclass(value):
            members = {one: found.name for found in reversed(list(read.lineage(name))) for one in found.methods}
            for member, owner in members.items():
                if (member in SPECIAL or not member.startswith("_")) and member not in INTERNAL:
                    found = read.method(owner, member)
                    assert found is not None
                    yield found
        elif inspect.isfunction(value):
            yield next(place for (_, named), place in read.functions.items() if named == name)


def faults(read: Package, places: Iterator[Place]) -> list[str]:
    found = {line for place in places if place.name not in NEVER_RAISE for line in undocumented(read, place)}
    return sorted(found)


def test_each_public_callable_that_can_raise_says_so() -> None:
    read = package()
    assert faults(read, public_callables(read)) == []


def test_the_list_of_those_that_never_raise_has_only_public_coroutines() -> None:
    read = package()
    assert set(NEVER_RAISE) <= {place.name for place in public_callables(read)} | {"LocalStore.__aexit__"}

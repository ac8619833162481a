"""Tests that each public callable that can raise has a `Raises:` section that names each error found in the source."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import pytest

import timim
from tests.support.paths import ROOT
from tests.support.raised_errors import Package, Place, undocumented

# Callables that raise no error of their own, and the reason.
NEVER_RAISE = {
    "Client.system": "asks for a conversation whose key is always valid",
    "Client.__aenter__": "raises the errors of login(), as the class says",
    "EventStream.__aenter__": "returns the stream itself",
    "EventStream.__aexit__": "closes the stream, without waiting",
    "Client.__aexit__": "raises the errors of close()",
}
# Methods of public classes that programs do not call.
INTERNAL = {"bind", "bind_elems", "bind_unpacker", "load_body", "replace_elems", "update_from"}
SPECIAL = {"__init__", "__call__", "__aiter__", "__anext__", "__await__", "__aenter__", "__aexit__", "__getitem__", "__iter__"}


@pytest.fixture(scope="module")
def package() -> Package:
    """Read the source of timim."""
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


def test_each_public_callable_that_can_raise_says_so(package: Package) -> None:
    assert faults(package, public_callables(package)) == []


def test_the_exceptions_are_public_callables(package: Package) -> None:
    assert set(NEVER_RAISE) <= {place.name for place in public_callables(package)}


ERRORS = """
class TimimError(Exception): ...
class InvalidArgument(TimimError): ...
class InvalidElem(InvalidArgument): ...
"""
SAMPLE = '''
from .errors import InvalidArgument, InvalidElem

def checked(name: str) -> str:
    if not name:
        raise InvalidElem("empty")
    return name

class Part:
    def check(self) -> None:
        raise InvalidArgument("wrong")

class Sample:
    def __init__(self, part: Part) -> None:
        self._part = part

    def described(self) -> None:
        """Check the part.

        Raises:
            InvalidArgument: The part is wrong.
        """
        self._part.check()

    async def coroutine(self) -> None:
        """Do nothing."""

    def by_function(self, name: str) -> str:
        return checked(name)

    def by_attribute(self) -> None:
        self._part.check()

    def wrong_name(self) -> None:
        """Check the part.

        Raises:
            ValueError: The part is wrong.
        """
        self._part.check()

    def caught(self) -> None:
        try:
            self._part.check()
        except InvalidArgument:
            pass

    def harmless(self) -> None:
        """Return nothing."""
'''


def sample_faults(source: str) -> list[str]:
    read = Package({"sample.errors": ERRORS, "sample.sample": source})
    methods = read.classes["Sample"].methods
    return faults(read, (Place("sample.sample", "Sample", method) for method in methods.values()))


def test_callables_that_do_not_say_it_are_found() -> None:
    assert sample_faults(SAMPLE) == [
        "Sample.by_attribute has no Raises section",
        "Sample.by_function has no Raises section",
        "Sample.coroutine has no Raises section",
        "Sample.wrong_name does not name InvalidArgument",
    ]


def test_a_deleted_section_is_found() -> None:
    begin = SAMPLE.index("\n        Raises:\n            InvalidArgument")
    end = SAMPLE.index('        """', begin)
    assert "Sample.described has no Raises section" in sample_faults(SAMPLE[:begin] + SAMPLE[end:])

"""Tests of fields that cannot be assigned."""

from __future__ import annotations

from operator import attrgetter

import pytest

from timim.util.read_only import assigned_once, refusing


@refusing("ask somebody", draft="use set_draft()")
class Slotted:
    __slots__ = ("_draft", "_kept", "_name")

    def __init__(self) -> None:
        self._draft, self._name, self._kept = "d", "n", "k"

    @property
    def draft(self) -> str:
        """The draft."""
        return self._draft

    @property
    def name(self) -> str:
        """The name, in capitals."""
        return self.upper(self._name)

    @property
    def kept(self) -> str:
        """The text that can be assigned."""
        return self._kept

    @kept.setter
    def kept(self, value: str) -> None:
        self._kept = value

    def upper(self, text: str) -> str:
        return text.upper()


def test_an_assignment_names_the_field_and_the_remedy() -> None:
    one = Slotted()
    with pytest.raises(AttributeError, match="draft: cannot be assigned; use set_draft"):
        one.draft = "x"  # type: ignore[misc]
    with pytest.raises(AttributeError, match="name: cannot be assigned; ask somebody"):
        one.name = "x"  # type: ignore[misc]
    assert (one.draft, one.kept) == ("d", "k")


def test_a_property_with_a_setter_is_assigned() -> None:
    one = Slotted()
    one.kept = "x"
    assert one.kept == "x"


def test_a_slot_is_read_without_a_call_and_keeps_its_docstring() -> None:
    draft = vars(Slotted)["draft"]
    assert type(draft.fget) is attrgetter
    assert draft.__doc__ == "The draft."


def test_a_remedy_without_a_property_is_refused() -> None:
    with pytest.raises(TypeError, match="Slotted has no property darft"):
        refusing("x", darft="y")(Slotted)


@assigned_once("make another one")
class Plain:
    def __init__(self) -> None:
        self.name = "n"
        self._count = 0

    def count(self) -> int:
        self._count += 1
        return self._count


def test_a_public_attribute_is_assigned_by_the_constructor_only() -> None:
    one = Plain()
    with pytest.raises(AttributeError, match="name: cannot be assigned; make another one"):
        one.name = "x"
    assert (one.name, one.count(), one.count()) == ("n", 1, 2)

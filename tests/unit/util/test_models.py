"""Tests of the base class of elems: equality and hash by the fields, bytes in JSON, and the signature."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Annotated

import pytest
from pydantic import AliasChoices, Field, PrivateAttr, ValidationError

from timim import FileElem, ImageElem, TextElem, VideoElem
from timim.elems import Elem
from timim.util.models import FrozenModel


class Thing(FrozenModel):
    name: str
    data: bytes = b""
    more: Mapping[str, int] = {}
    _owner: str = PrivateAttr(default="")


class Other(FrozenModel):
    name: str


def test_models_with_equal_fields_are_equal_whatever_their_private_attributes_are() -> None:
    one, same, different = Thing(name="a", more={"x": 1}), Thing(name="a", more={"x": 1}), Thing(name="a", more={"x": 2})
    same._owner = "a client"
    assert one == same
    assert hash(one) == hash(same)
    assert one != different
    assert Thing(name="a") != Other(name="a")
    assert len({one, same, different}) == 2


def test_bytes_that_are_not_utf8_pass_through_json() -> None:
    thing = Thing(name="a", data=b"\xff\xfe\x00")
    assert thing.model_dump_json() == '{"name":"a","data":"__4A","more":{}}'
    assert Thing.model_validate_json(thing.model_dump_json()) == thing


def test_fields_cannot_change_and_unknown_ones_are_refused() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Thing(name="a").name = "b"
    with pytest.raises(ValidationError, match="Extra inputs"):
        Thing(name="a", other="b")  # type: ignore[call-arg]


def test_the_signature_has_the_names_that_can_be_given_before_and_after_the_first_object() -> None:
    class Picture(FrozenModel):
        size: Annotated[int, Field(ge=0)] = 0

    class Named(Picture):
        name: str
        data: Annotated[bytes, Field(min_length=1)] | None = Field(default=None, validation_alias=AliasChoices("data", "file"))

    for _ in range(2):
        signature = inspect.signature(Named)
        assert str(signature) == "(*, name: str, data: Optional[bytes] = None, file=None, size: int = 0)"
        assert Named(name="a", file=b"x").data == b"x"  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "kind, names",
    [
        (ImageElem, {"path", "data", "image", "file", "compression", "strip_location"}),
        (FileElem, {"path", "data", "file", "filename"}),
        (VideoElem, {"path", "data", "file", "duration", "snapshot"}),
        (TextElem, {"text"}),
    ],
)
def test_the_constructor_of_an_elem_completes(kind: type[Elem], names: set[str]) -> None:
    parameters = inspect.signature(kind).parameters
    assert names <= set(parameters)
    assert {parameter.kind for parameter in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}

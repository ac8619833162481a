"""Tests of the base class of elems: equality and hash by the fields, and bytes in JSON."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from pydantic import PrivateAttr, ValidationError

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

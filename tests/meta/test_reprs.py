"""Tests that each public object shows itself in one line of text, and that no line is `object at 0x…`."""

from __future__ import annotations

import dataclasses
import enum
import inspect
from pathlib import Path
from typing import Any

import msgspec
import pytest

import timim
from tests.meta.test_arguments_checked import instances
from timim import ConversationKey, ConversationType, GroupTipType, Message, TimimError
from timim.bots.filters import F
from timim.engine.listeners import Listeners
from timim.progress import ProgressBar

SECRET = "the text of a message"
KEY = ConversationKey(ConversationType.C2C, "bob")
WITHOUT_INSTANCES = {"Elem", "ClientEvent", "ClientOptions", "MergedMessage"}  # base classes, and types for checkers only


def value_of(name: str, hint: Any) -> Any:
    """Return a value for a field of a dataclass or of an elem, by its name and type."""
    text = str(hint)
    known: dict[str, Any] = {
        "message": Message(SECRET),
        "argument": Message(SECRET),
        "handler": value_of,
        "error": TimimError("x"),
        "conversation": KEY,
        "path": Path("x"),
        "tip": timim.GroupTipElem(type=GroupTipType.JOIN),
        "notice": timim.GroupNoticeElem(type=1, group_id="team"),
        "change": timim.RelationElem(type=1),
        "setting": timim.ConversationSetting.PINNED,
        "title": "x",
        "desc": "x",
        "ext": "x",
        "disable": False,
        "android": {},
        "apns": {},
    }
    if name in known:
        return known[name]
    if "Mapping" in text or "dict" in text:
        return {}
    if "tuple" in text:
        return ()
    return "x" if "str" in text else 1


def objects() -> dict[str, object]:
    """Return an object of each public class that is neither an error nor an enumeration."""
    found: dict[str, object] = dict(instances())
    found |= {
        "Page": timim.Page([], complete=True, interval=None, source="local", requests=0),
        "ConversationList": found["Client"].conversations,  # type: ignore[attr-defined]
        "MemberList": found["Group"].members(),  # type: ignore[attr-defined]
        "EventStream": Listeners().open_stream(Message),
        "ProgressBar": ProgressBar("x"),
        "Coverage": timim.Coverage(),
        "Filter": F.is_group,
        "GroupTipElem": timim.GroupTipElem(type=GroupTipType.JOIN),
        "GroupNoticeElem": timim.GroupNoticeElem(type=1, group_id="team"),
        "RelationElem": timim.RelationElem(type=1),
        "UnknownElem": timim.UnknownElem(MsgType="X", content=b"{}"),
        "TextElem": timim.TextElem(text="x"),
        "LocationElem": timim.LocationElem(latitude=1, longitude=1),
    }
    for name in timim.__all__:
        kind = getattr(timim, name)
        if name in found or not inspect.isclass(kind):
            continue
        if dataclasses.is_dataclass(kind):
            found[name] = kind(**{one.name: value_of(one.name, one.type) for one in dataclasses.fields(kind)})
        elif issubclass(kind, msgspec.Struct):
            found[name] = kind("x")
        elif issubclass(kind, tuple):
            found[name] = kind._make(1 for _ in kind._fields)  # type: ignore[attr-defined]
        elif issubclass(kind, timim.Elem) and name != "Elem":
            found[name] = kind()
    return found


PUBLIC = [
    name
    for name in timim.__all__
    if inspect.isclass(getattr(timim, name))
    and not issubclass(getattr(timim, name), BaseException | enum.Enum)
    and name not in WITHOUT_INSTANCES
]


def test_each_public_class_has_an_object_here() -> None:
    assert sorted(set(PUBLIC) - set(objects())) == []


@pytest.mark.requirement("P08")
@pytest.mark.parametrize("name", PUBLIC)
async def test_a_public_object_shows_itself(name: str) -> None:
    value = objects()[name]
    shown = repr(value)
    assert " object at 0x" not in shown
    assert SECRET not in shown
    assert "\n" not in shown
    bundle = getattr(value, "_repr_mimebundle_", None)
    if bundle is not None:
        assert bundle()["text/plain"] == shown

"""Texts of users on a terminal: no character may control it, style it, or turn the direction of a line."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timim import CustomElem, FaceElem, LocationElem, MergerElem, Message, UnknownElem
from timim.cli.tui.text import body_of, clean, describe, size, summary_of

HARMLESS = {"Cf": "\u200c\u200d"}


@given(st.text())
def test_a_cleaned_text_has_no_control_and_no_bidi_characters(text: str) -> None:
    for character in clean(text):
        category = unicodedata.category(character)
        assert category[0] != "C" or character in "\u200c\u200d", hex(ord(character))
        assert category not in ("Zl", "Zp")
    assert "\n" not in clean(text)


@pytest.mark.parametrize(
    "text,shown",
    [
        ("[bold]x[/]", "[bold]x[/]"),
        ("\x1b[31mred\x07", "␛[31mred␇"),
        ("abc\u202egpj.exe", "abc\ufffdgpj.exe"),
        ("a\r\nb\rc", "a b␍c"),
        ("👨‍👩‍👧 你好", "👨‍👩‍👧 你好"),
        ("e" + "\u0301" * 50, "e" + "\u0301" * 3),
        ("\x9b31m", "\ufffd31m"),
    ],
)
def test_hostile_texts(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_line_ends_stay_where_they_are_wanted() -> None:
    assert clean("a\n\tb", lines=True) == "a\n    b"
    assert summary_of(Message("a\nb")) == "a b"


def test_elems_that_are_no_text_are_described() -> None:
    message = Message(
        FaceElem(index=3),
        CustomElem(data=b"x" * 2048),
        LocationElem(desc="home\x1b", latitude=1, longitude=2),
        MergerElem(title="old [b]", count=7),
        UnknownElem(MsgType="TIMNewElem", content=b"{}"),
    )
    assert [describe(elem) for elem in message] == [
        "[sticker 3]",
        "[custom: 2 KB]",
        "[location home␛ 1.00000, 2.00000]",
        "[7 messages: old [b]]",
        "[TIMNewElem]",
    ]
    assert body_of(message).count("\n") == 4


def test_sizes_have_units() -> None:
    assert [size(number) for number in (0, 1023, 1024, 5 << 20, 3 << 30)] == ["0 B", "1023 B", "1 KB", "5 MB", "3.0 GB"]

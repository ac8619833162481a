"""Tests of names that another user chose: what is left of them cannot leave a folder, hide a file or disguise its kind."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timim.util.names import safe_name


@pytest.mark.parametrize(
    "given_name, safe",
    [
        ("report.pdf", "report.pdf"),
        ("Über 发票 😀.pdf", "Über 发票 😀.pdf"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("/etc/shadow", "shadow"),
        (".bashrc", "bashrc"),
        ("..", "content"),
        ("", "content"),
        ("folder/", "content"),
        ("a\0b\nc", "a_b_c"),
        ('a<b>c:d"e|f?g*h', "a_b_c_d_e_f_g_h"),
        ("photo\u202egpj.exe", "photo_gpj.exe"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("console.txt", "console.txt"),
        ("name. . ", "name"),
        ("a" * 300 + ".pdf", "a" * 236 + ".pdf"),
        ("票" * 100 + ".pdf", "票" * 78 + ".pdf"),
        ("b" * 300, "b" * 240),
    ],
)
def test_a_name_is_made_safe(given_name: str, safe: str) -> None:
    assert safe_name(given_name, "content") == safe


@given(st.text())
def test_any_name_is_one_part_of_a_path(name: str) -> None:
    safe = safe_name(name, "content")
    assert Path("folder", safe).parent == Path("folder")
    assert 0 < len(safe.encode()) <= 241
    assert not safe.startswith(".")

"""Tests of the names under which received files are written: never a path, never an existing file."""

from __future__ import annotations

from pathlib import Path

import pytest

from timim.cli.files import free_path, local_name


@pytest.mark.requirement("R12")
def test_a_name_that_a_peer_chose_is_never_a_path() -> None:
    for shown, name in (
        ("../../x", "x"),
        ("..\\..\\x.txt", "x.txt"),
        ("/etc/passwd", "passwd"),
        ("a\0b\nc", "abc"),
        ("evil\u202egpj.exe", "evilgpj.exe"),
        ("..", "uuid"),
        ("", "uuid"),
        (".bashrc", "bashrc"),
        ("CON", "_CON"),
        ("con.txt", "_con.txt"),
        ("C:\\x", "x"),
        ("a:b", "a_b"),
        ("报告 1.pdf", "报告 1.pdf"),
    ):
        assert local_name(shown, "uuid") == name
    assert local_name("x" * 300 + ".pdf", "uuid") == "x" * 196 + ".pdf"
    assert len(local_name("字" * 300, "uuid").encode()) <= 200


def test_an_existing_path_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    (tmp_path / "a (1).txt").symlink_to("nowhere")
    assert free_path(tmp_path, "a.txt").name == "a (2).txt"

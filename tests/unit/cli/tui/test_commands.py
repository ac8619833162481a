"""Commands of the input."""

from __future__ import annotations

from pathlib import Path

import pytest

from timim import InvalidArgument
from timim.cli.tui.commands import PathCommand, parse_command


@pytest.mark.parametrize("text", ["hello", "//file x", "a /file x", "/usr\nis a folder", ""])
def test_a_text_is_no_command(text: str) -> None:
    assert parse_command(text) is None


def test_a_path_may_have_spaces_quotes_and_a_tilde() -> None:
    assert parse_command("/file a b.pdf") == PathCommand("file", Path("a b.pdf"))
    assert parse_command("/image 'a b.png' ") == PathCommand("image", Path("a b.png"))
    assert parse_command("/file ~/x") == PathCommand("file", Path.home() / "x")


@pytest.mark.parametrize(
    "text,names", [("/quit", "/file, /image"), ("/file", "give a path"), ("/file ~nobody-here/x", "nobody-here")]
)
def test_a_wrong_command_is_refused_with_a_remedy(text: str, names: str) -> None:
    with pytest.raises(InvalidArgument, match=names):
        parse_command(text)

"""The commands of the input: `/file PATH` and `/image PATH`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from timim import InvalidArgument

COMMANDS = ("/file", "/image")


@dataclass(frozen=True, slots=True)
class PathCommand:
    """A command and its path."""

    name: str
    path: Path


def parse_command(text: str) -> PathCommand | None:
    """Return the command of a submitted text, or None for a message; `//` begins a message with a slash.

    Raises:
        InvalidArgument: There is no such command, or its path is missing.
    """
    if not text.startswith("/") or text.startswith("//") or "\n" in text:
        return None
    name, _, path = text.partition(" ")
    if name not in COMMANDS:
        raise InvalidArgument(f"{name}: no such command; there are {', '.join(COMMANDS)}, and // begins a text with a slash")
    path = path.strip().strip("'\"")
    if not path:
        raise InvalidArgument(f"{name}: give a path, as in {name} ~/cat.jpg")
    return PathCommand(name[1:], path_of(path))


def path_of(text: str) -> Path:
    """Return the path that a user typed; ~ is the home folder.

    Raises:
        InvalidArgument: There is no such user.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError as exc:
        raise InvalidArgument(f"{text}: {exc}") from exc

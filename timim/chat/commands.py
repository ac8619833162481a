"""The commands of the input: `/file PATH`, `/image PATH`, `/save FOLDER`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from timim import InvalidArgument

COMMANDS = {
    "/file": "send a file",
    "/image": "send a picture",
    "/save": "save the files of the selected message in a folder",
}


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
    try:
        return PathCommand(name[1:], Path(path).expanduser())
    except RuntimeError as exc:
        raise InvalidArgument(f"{name}: {path}: {exc}") from exc

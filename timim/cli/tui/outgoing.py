"""The messages that the input makes, and the content that the user saves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

from timim import FileElem, ImageElem, InvalidArgument, MediaError, Message, SoundElem, TimimError, VideoElem

from .commands import PathCommand
from .text import clean

WAITING_LIMIT = 100  # messages that wait for the connection at once
ShowTransfer = Callable[[str], None]


def message_of(command: PathCommand | None, text: str) -> Message:
    """Return the message of a command, or of a text; the second slash of `//` is dropped.

    Raises:
        InvalidArgument: The path cannot be a file.
    """
    if command is None:
        return Message(text.removeprefix("/") if text.startswith("//") else text)
    if command.name == "image":
        return Message(ImageElem(path=command.path))
    return Message(FileElem(path=command.path))


async def save_content(message: Message, folder: Path, show: ShowTransfer) -> list[Path]:
    """Download the files, pictures, sounds and videos of a message into a folder, and return their paths.

    Raises:
        InvalidArgument: The message has no content.
        MediaError: A file cannot be written, or its content is gone.
        NetworkError: The server did not answer.
    """
    found = [elem for elem in message if isinstance(elem, FileElem | ImageElem | SoundElem | VideoElem)]
    if not found:
        raise InvalidArgument("the selected message has no files: select another one with ↑")
    try:
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    except OSError as exc:
        raise MediaError(f"cannot create the folder {folder}: {exc.strerror}") from exc
    try:
        return [await elem.download(folder, progress=partial(_show_download, show)) for elem in found]
    finally:
        show("")


def _show_download(show: ShowTransfer, done: int, total: int) -> None:
    show(percent("download", done, total))


def percent(name: str, done: int, total: int) -> str:
    """Return the progress of a transfer."""
    return f"{name} {100 * done // max(total, 1)} %"


class SendQueue:
    """The number of messages that wait, within a limit."""

    def __init__(self) -> None:
        self._waiting = 0

    def enter(self) -> None:
        """Count a message.

        Raises:
            TimimError: Too many messages wait.
        """
        if self._waiting >= WAITING_LIMIT:
            raise TimimError(f"{WAITING_LIMIT} messages wait to be sent: wait for the connection")
        self._waiting += 1

    def leave(self) -> None:
        """Count the end of a message's waiting."""
        self._waiting -= 1

    def progress_of(self, message: Message, show: ShowTransfer) -> Callable[[int, int], None]:
        """Return a callback that shows the progress of a message's upload."""
        names = [elem.path.name for elem in message.elems if isinstance(elem, FileElem | ImageElem) and elem.path is not None]
        return lambda done, total: show(percent(clean(names[0]) if names else "upload", done, total))

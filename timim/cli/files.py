"""Downloads of the command line: the content of a message, and the local names of its files.

A file name that a peer chose is only displayed. The local file gets a safe name in the user's folder, and no existing file
is overwritten.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path

from timim import AnyElem, FileElem, ImageElem, ImageType, ImageVariant, Message, SoundElem, TimimError, VideoElem

Downloadable = FileElem | SoundElem | VideoElem | ImageVariant
NAME_LIMIT_BYTES = 200  # most file systems allow 255
_SUFFIX = {1: ".jpg", 2: ".gif", 3: ".png", 4: ".bmp"}  # by TIM's number of a picture's format
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}


class Cancelled(TimimError):
    """The user interrupted a transfer."""


def downloadable_content(message: Message) -> Iterator[tuple[Downloadable, str]]:
    """Yield the downloadable content of a message, each with a local file name."""
    for elem in message:
        content = content_of(elem)
        if content is not None:
            yield content


def content_of(elem: AnyElem) -> tuple[Downloadable, str] | None:
    """Return the downloadable content of an elem and its local file name; None if it has none."""
    match elem:
        case FileElem():
            return elem, local_name(elem.filename, elem.uuid)
        case SoundElem():
            return elem, f"{elem.uuid[:8]}.sound"
        case VideoElem():
            return elem, local_name(f"{elem.uuid[:8]}.{elem.format or 'video'}", elem.uuid)
        case ImageElem() if ImageType.ORIGINAL in elem.images:
            return elem.images[ImageType.ORIGINAL], f"{elem.uuid[:8]}{_SUFFIX.get(elem.image_format, '.image')}"
        case _:
            return None


def local_name(shown: str, otherwise: str) -> str:
    """Return a safe file name made from one that a peer chose, or `otherwise` if no character is left."""
    name = shown.replace("\\", "/").rpartition("/")[2].replace(":", "_")
    name = "".join(char for char in name if unicodedata.category(char)[0] != "C").strip(" .")
    stem, dot, suffix = name.rpartition(".")
    if dot and len(suffix.encode()) < 20:
        room = NAME_LIMIT_BYTES - len(suffix.encode()) - 1
        name = stem.encode()[:room].decode(errors="ignore") + "." + suffix
    else:
        name = name.encode()[:NAME_LIMIT_BYTES].decode(errors="ignore")
    if name.partition(".")[0].strip().lower() in _DEVICES:
        name = f"_{name}"
    return name or otherwise


def free_path(folder: Path, name: str) -> Path:
    """Return a path in the folder that does not exist yet, with a number if necessary."""
    path, number = folder / name, 1
    while path.exists() or path.is_symlink():
        path = folder / f"{Path(name).stem} ({number}){Path(name).suffix}"
        number += 1
    return path

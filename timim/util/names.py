"""Names of files that another user chose, made safe for a folder of this device."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["safe_name"]

_UNSAFE: Final = re.compile('[\x00-\x1f\x7f-\x9f<>:"|?*\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff]')
_DEVICES: Final = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)  # names that open a device on Windows
_LONGEST_BYTES: Final = 240  # of the 255 of most file systems; the rest is for a number
_LONGEST_SUFFIX: Final = 16


def safe_name(name: str, otherwise: str) -> str:
    """Return the last part of a name without what could lead out of a folder, hide the file or disguise its kind.

    Characters that are not allowed on some systems, and those that are not shown or change the direction, become `_`. Dots and
    spaces at both ends are removed. A long name keeps its suffix. `otherwise` is returned if nothing is left.
    """
    name = _UNSAFE.sub("_", re.split(r"[/\\]", name)[-1]).strip(". ")
    if not name.strip("_"):
        return otherwise
    if _DEVICES.match(name):
        name = f"_{name}"
    stem, dot, suffix = name.rpartition(".")
    if not dot or len(suffix) > _LONGEST_SUFFIX:
        stem, suffix = name, ""
    ending = f".{suffix}" if suffix else ""
    kept = stem.encode()[: _LONGEST_BYTES - len(ending.encode())].decode(errors="ignore")
    return f"{kept.rstrip('. ')}{ending}"

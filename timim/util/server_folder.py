"""The files in a server's data folder that clients on the same machine read: the key of the app, and the address."""

from __future__ import annotations

import json
from pathlib import Path

from .private_files import private_file

__all__ = ["KEY_FILE", "read_address", "read_key", "write_address"]

KEY_FILE = "app.json"  # written at the first start
ADDRESS_FILE = "address.json"  # written at each start


def read_key(folder: Path) -> tuple[int, str] | None:
    """Return the app id and the key that signs users; None if the folder has no valid file of them."""
    try:
        known = json.loads((folder / KEY_FILE).read_text())
        return int(known["app_id"]), str(known["secret_key"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def read_address(folder: Path) -> str | None:
    """Return the URL of the server that used the folder last; None if the folder has no valid file of it."""
    try:
        return str(json.loads((folder / ADDRESS_FILE).read_text())["url"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write_address(folder: Path, url: str) -> None:
    """Write the URL of a server. A server on all interfaces is reached by the address of this machine."""
    reachable = url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
    private_file(folder / ADDRESS_FILE)
    (folder / ADDRESS_FILE).write_text(json.dumps({"url": reachable}))

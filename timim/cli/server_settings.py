"""The settings of a server, as the commands for operators read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .console import WRONG_USE, fail

if TYPE_CHECKING:
    from ..server.settings import Settings


def read_settings(**given: Any) -> Settings:
    """Return the server's settings, overridden by the flags that are not None.

    Raises:
        Exit: A setting is invalid or the server is not installed; exit status 2.
    """
    try:
        from ..server.settings import Settings
    except ImportError as exc:
        fail(f"the server is not installed ({exc.name} is missing): pip install 'timim[server]'", WRONG_USE)
    for name in ("database", "bus", "blobs"):
        if _has_password(str(given.get(name) or "")):
            where = f"set TIMIM_{name.upper()}, or {name} in timim.toml"
            fail(
                f"--{name} has a password, and every account of this machine can list arguments: {where}",
                WRONG_USE,
            )
    from pydantic import ValidationError

    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        fail(f"the setting {'.'.join(map(str, first['loc']))}: {first['msg']}", WRONG_USE)


def _has_password(urls: str) -> bool:
    """Return True if one of several URLs, separated by commas, has a password."""
    try:
        return any(urlsplit(url).password or "password=" in url for url in urls.split(","))
    except ValueError:  # no URL: its setting says so
        return False

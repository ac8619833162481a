"""The settings of a server, as the commands for operators read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
    from pydantic import ValidationError

    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        fail(f"the setting {'.'.join(map(str, first['loc']))}: {first['msg']}", WRONG_USE)

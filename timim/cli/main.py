"""The `timim` command: its commands are registered by the modules that hold them."""

from __future__ import annotations

from . import bench, history, messages, server  # noqa: F401  they register what they hold
from .console import app

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line."""
    app()

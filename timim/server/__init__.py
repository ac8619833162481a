"""The timim server: `timim serve`, or `async with Server(Settings(...)) as server` in a program."""

from .app import Server
from .settings import Settings

__all__ = ["Server", "Settings"]

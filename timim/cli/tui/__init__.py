"""The terminal chat of `timim chat`, written with the public names of timim alone: only this package uses textual."""

from .app import ChatApp

__all__ = ["ChatApp"]

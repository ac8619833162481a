"""Notebooks: objects of timim as HTML, and short tracebacks. Imported by the first display, never by `import timim`."""

from __future__ import annotations

from .previews import load_previews

__all__ = ["load_previews"]

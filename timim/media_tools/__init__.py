"""Tools for media files: formats, resizing, animations, metadata and durations. See docs/explanation/media.md.

`timim/media.py` is the interface to the tools for pictures; durations are used directly.
"""

"""Tools for media files: formats, resizing, animations, metadata and durations. See docs/pictures.md.

`timim/media.py` is the interface to the tools for pictures; durations are used directly.
"""

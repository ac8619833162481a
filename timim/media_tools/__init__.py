"""Tools for media files: formats, resizing, animations, metadata and durations. See docs/explanation/media.md.

Pictures are used through `timim/media.py`, durations directly.
"""

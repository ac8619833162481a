"""Pictures: what a file is, its pixels, its animation, what it says of where it was taken. See docs/pictures.md.

`timim/media.py` is the door; nothing else imports from here.
"""

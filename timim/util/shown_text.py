"""Texts of a server as a terminal or a log may show them."""

from __future__ import annotations

__all__ = ["INFO_LIMIT", "shown_text"]

INFO_LIMIT = 500  # characters; the texts of timim have at most 300


def shown_text(text: str) -> str:
    """Return a text of the server in the form of an error: at most INFO_LIMIT characters, and none that a terminal obeys."""
    cut = text if len(text) <= INFO_LIMIT else text[: INFO_LIMIT - 1] + "…"
    return cut if cut.isprintable() else "".join(one if one.isprintable() else " " for one in cut)

"""Notebooks: objects of timim as HTML, and short tracebacks. `import timim` loads only the renderer's entrance."""

from __future__ import annotations

__all__ = ["load_previews"]


async def load_previews(*shown: object) -> None:
    """Fetch the pictures, voice messages and short videos of objects that a later cell shows.

    A notebook fetches them by itself after it has shown an object, and shows the object again. A notebook that is executed
    without a person, as by nbclient, may have ended then: call this function in an earlier line, `await load_previews(page)`.
    Content that cannot be fetched is named in the output; no error is raised. Cancelling keeps the content that was fetched.

    Args:
        shown: Messages, pages, results and conversations.
    """
    from .previews import load_all

    await load_all(*shown)

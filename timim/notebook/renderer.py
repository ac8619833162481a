"""The renderer that the package `timim` sets. Its methods import the modules beside it when they are called first."""

from __future__ import annotations

__all__ = ["HtmlRenderer"]


class HtmlRenderer:
    """Renderer of objects as HTML, and of errors without the frames of timim."""

    def mimebundle(self, shown: object) -> dict[str, str]:
        """Return an object as `text/plain` and `text/html`."""
        from .bundle import mimebundle

        return mimebundle(shown)

    def display_and_fetch(self, shown: object) -> None:
        """Show an object in a notebook, and again when its pictures and sounds have been fetched.

        Raises:
            NotImplementedError: This is no notebook, or there is nothing to fetch.
        """
        from .bundle import display_and_fetch

        display_and_fetch(shown)

    def short_traceback(self, error: BaseException) -> list[str]:
        """Return the lines that IPython shows for an error."""
        from .tracebacks import short_traceback

        return short_traceback(error)

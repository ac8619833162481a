"""The base classes of objects that notebooks show, and of errors that IPython shows in short.

Invariant: nothing here knows how an object is shown. The package `timim` sets the renderer, which is far above.
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["Displayed", "Renderer", "ShortTraceback", "set_renderer"]


class Renderer(Protocol):
    """The way in which interactive sessions show objects."""

    def mimebundle(self, shown: object) -> dict[str, str]:
        """Return an object as `text/plain` and `text/html`."""

    def display_and_fetch(self, shown: object) -> None:
        """Show an object, and again when its pictures and sounds have been fetched. Raises NotImplementedError."""

    def short_traceback(self, error: BaseException) -> list[str]:
        """Return the lines that IPython shows for an error."""


_renderers: list[Renderer] = []  # one, after the import of timim


def set_renderer(renderer: Renderer) -> None:
    """Set the renderer of this process."""
    _renderers[:] = [renderer]


class Displayed:
    """Object that a notebook shows as HTML, and that everything else shows as one line of text.

    IPython calls the methods. A subclass without a `__repr__` of its own is shown by its name.
    """

    __slots__ = ()

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return _renderers[0].mimebundle(self)

    def _ipython_display_(self) -> None:
        """Show the object, and again when its pictures and sounds have been fetched.

        Raises:
            NotImplementedError: Nothing has to be fetched; IPython shows `_repr_mimebundle_` then.
        """
        _renderers[0].display_and_fetch(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class ShortTraceback:
    """Error that IPython shows with the lines of the user's cells only. IPython calls the method."""

    def _render_traceback_(self) -> list[str]:
        assert isinstance(self, BaseException)
        return _renderers[0].short_traceback(self)

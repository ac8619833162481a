"""The base class of objects that notebooks show as HTML, which `timim.notebook` makes; the first display imports it."""

from __future__ import annotations

__all__ = ["Displayed", "ShortTraceback"]


class Displayed:
    """Object that a notebook shows as HTML, and that everything else shows as one line of text.

    IPython calls the methods. A subclass without a `__repr__` of its own is shown by its name.
    """

    __slots__ = ()

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from ..notebook.bundle import mimebundle

        return mimebundle(self)

    def _ipython_display_(self) -> None:
        """Show the object, and again when its pictures and sounds have been fetched.

        Raises:
            NotImplementedError: Nothing has to be fetched; IPython shows `_repr_mimebundle_` then.
        """
        from ..notebook.bundle import display_and_fetch

        display_and_fetch(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class ShortTraceback:
    """Error that IPython shows with the lines of the user's cells only. IPython calls the method."""

    def _render_traceback_(self) -> list[str]:
        from ..notebook.tracebacks import short_traceback

        assert isinstance(self, BaseException)
        return short_traceback(self)

"""Errors of timim in IPython: the lines of the user's cells, the error, and its causes, without the frames of timim.

`%xmode Verbose` and then `%tb` shows all frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Final

from ..util.interactive import ipython

__all__ = ["short_traceback"]

HIDDEN: Final = frozenset({"IPython", "ipykernel", "asyncio", "contextlib"})  # packages whose frames are left out
CAUSES_LIMIT: Final = 3


def short_traceback(error: BaseException) -> list[str]:
    """Return the lines that IPython shows for an error."""
    formatter = ipython().InteractiveTB
    if formatter.mode == "Verbose":
        lines: list[str] = formatter.structured_traceback(type(error), error, error.__traceback__, tb_offset=1)
        return lines
    shown = _without_frames_of_packages(error.__traceback__)
    if shown is None:
        return [f"{type(error).__name__}: {error}", *_causes(error)]
    lines = formatter.structured_traceback(type(error), _alone(error), shown, tb_offset=0)
    return [*lines, *_causes(error)]


def _without_frames_of_packages(traceback: TracebackType | None) -> TracebackType | None:
    frames = []
    entered = False  # a frame of timim was seen: what it called is shown only if a cell defines it
    while traceback is not None:
        package = str(traceback.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        entered = entered or package == "timim"
        if package == "__main__" or not (entered or package in HIDDEN):
            frames.append(traceback)
        traceback = traceback.tb_next
    shown: TracebackType | None = None
    for frame in reversed(frames):
        shown = TracebackType(shown, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    return shown


def _alone(error: BaseException) -> BaseException:
    """Return a copy of an error without its causes, whose frames IPython would show."""
    kind = type(error)
    copy: BaseException = kind.__new__(kind, *error.args)
    copy.args = error.args
    vars(copy).update(vars(error))
    return copy


def _causes(error: BaseException) -> Iterator[str]:
    for _ in range(CAUSES_LIMIT):
        cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if cause is None:
            return
        yield f"caused by {type(cause).__name__}: {cause}"
        error = cause

"""The interactive session, if there is one: IPython in a terminal, or a kernel of a notebook. Nothing here imports IPython."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from contextvars import Context, copy_context
from types import FunctionType, MethodType
from typing import Any, Final

__all__ = ["CellFunctions", "cell_context", "in_notebook", "ipython", "is_rerun"]

# The variables in which a kernel keeps the cell that a task belongs to. Without them, output goes to the last cell.
_OF_A_CELL: Final = frozenset({"parent_header", "shell_parent", "shell_parent_ident"})


def ipython() -> Any:
    """Return the shell of IPython that runs this program's cells, or None."""
    module = sys.modules.get("IPython")
    get = getattr(module, "get_ipython", None)
    return get() if get is not None else None


def in_notebook() -> bool:
    """Return True in a Jupyter kernel, False in a terminal and in a plain program."""
    return any(kind.__name__ == "ZMQInteractiveShell" for kind in type(ipython()).__mro__)  # hosted notebooks have subclasses


def is_rerun(new: Callable[..., object], earlier: Callable[..., object]) -> bool:
    """Return True if both are functions that cells have defined under one name: the cell of the earlier one was run again."""
    if new is earlier or ipython() is None:
        return False
    names = [(one.__module__, one.__qualname__) for one in (new, earlier) if inspect.isfunction(one)]
    return len(names) == 2 and names[0] == names[1] and names[0][0] == "__main__" and "<" not in names[0][1]


class CellFunctions:
    """Functions of cells that were registered somewhere, so that a cell that runs again can replace its own."""

    def __init__(self) -> None:
        self._functions: dict[str, FunctionType] = {}  # by their names
        self._methods: list[MethodType] = []  # of objects of timim, such as `router.feed`

    def replaced_by(self, new: Callable[..., object]) -> list[Callable[..., object]]:
        """Remember a function, and return those that an earlier run of its cell has registered."""
        shell = ipython()
        if shell is None:
            return []
        if isinstance(new, MethodType) and type(new.__self__).__module__.partition(".")[0] == "timim":
            named = [value for name, value in shell.user_ns.items() if not name.startswith("_")]
            earlier = [one for one in self._methods if _is_orphan(one, new, named)]
            self._methods = [one for one in self._methods if one != new and one not in earlier] + [new]
            return list(earlier)
        if not isinstance(new, FunctionType) or new.__module__ != "__main__":
            return []
        known = self._functions.get(new.__qualname__)
        self._functions[new.__qualname__] = new
        return [known] if known is not None and is_rerun(new, known) else []


def _is_orphan(earlier: MethodType, new: MethodType, named: list[object]) -> bool:
    """Return True if the object of an earlier method has lost its name, because a cell made a new object."""
    same = earlier.__func__ is new.__func__ and earlier.__self__ is not new.__self__
    return same and not any(value is earlier.__self__ for value in named)


def cell_context() -> Context | None:
    """Return a copy of the context whose output goes to the cell that runs now or ran last; None without a kernel.

    A task otherwise writes to the cell that started it. Tasks of a client are started by the cell of the login.
    """
    if not in_notebook():
        return None
    context = Context()
    for variable, value in copy_context().items():
        if variable.name not in _OF_A_CELL:
            context.run(variable.set, value)
    return context

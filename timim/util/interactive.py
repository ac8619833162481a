"""The interactive session, if there is one: IPython in a terminal, or a kernel of a notebook. Nothing here imports IPython."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["in_notebook", "ipython"]


def ipython() -> Any:
    """Return the shell of IPython that runs this program's cells, or None."""
    module = sys.modules.get("IPython")
    get = getattr(module, "get_ipython", None)
    return get() if get is not None else None


def in_notebook() -> bool:
    """Return True in a Jupyter kernel, False in a terminal and in a plain program."""
    return type(ipython()).__name__ == "ZMQInteractiveShell"

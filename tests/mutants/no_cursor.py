"""A server that does not remember what it told the operator's back end."""

from __future__ import annotations

import timim.server.store.delivery_cursors as outlets
from timim.cli import main
from timim.server.store.operation import Run, Steps


def told_in_vain(outlet: str, timeline: str, seq: int) -> Steps[None]:
    yield Run("SELECT 1")


outlets.told = told_in_vain

if __name__ == "__main__":
    main()

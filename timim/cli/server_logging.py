"""Log of `timim serve` on standard error: each line has its time."""

from __future__ import annotations

import logging
import sys

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def set_up_logging(level: str) -> None:
    """Log warnings of all packages, and what timim itself reports from `level` on."""
    logging.basicConfig(level=logging.WARNING, format=FORMAT, stream=sys.stderr)
    logging.getLogger("timim").setLevel(level.upper())

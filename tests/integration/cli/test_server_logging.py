"""Tests of the log of `timim serve`: each line has its time, and other packages log warnings alone."""

from __future__ import annotations

import re
import subprocess
import sys

PROGRAM = """
import logging
from timim.cli.server_logging import set_up_logging
set_up_logging("info")
logging.getLogger("timim.server").info("started")
logging.getLogger("timim.server").debug("frames")
logging.getLogger("uvicorn.error").info("accepted")
"""


def test_each_line_has_its_time() -> None:
    logged = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stderr
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO timim\.server: started\n", logged)

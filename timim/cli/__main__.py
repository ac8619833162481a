"""`python -m timim.cli`, the same as `timim`."""

from .main import main

main()

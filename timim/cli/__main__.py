"""The entry point of `python -m timim.cli`, which runs the `timim` command."""

from .main import main

main()

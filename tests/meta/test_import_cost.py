"""Tests that `import timim` and `timim serve` load only what they need; the rest is loaded on first use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# Expensive packages, and those of the server or the command line.
ON_FIRST_USE = frozenset(
    "starlette uvicorn pydantic_settings prometheus_client obstore asyncpg nats timim.server".split()
    + "typer rich textual IPython PIL pillow_heif httpx2 timim.cli timim.testing".split()
    + "pandas numpy pyarrow polars timim.notebook.bundle timim.notebook.previews".split()
)


def loaded_by(statement: str, folder: Path) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    return set(subprocess.check_output([sys.executable, "-c", code], cwd=folder, text=True).split())


def test_import_timim_loads_nothing_that_only_the_server_or_the_cli_needs(tmp_path: Path) -> None:
    assert loaded_by("import timim", tmp_path) & ON_FIRST_USE == set()


def test_the_check_sees_a_heavy_module(tmp_path: Path) -> None:
    assert "rich" in loaded_by("import rich", tmp_path)


def test_timim_serve_loads_no_other_command(tmp_path: Path) -> None:
    run = "from timim.cli.main import main\nsys.argv = ['timim', 'serve', '--port', 'x']\ntry: main()\nexcept SystemExit: pass"
    loaded = loaded_by(run, tmp_path)
    assert "timim.cli.server" in loaded
    others = ("commands", "messages", "chat", "history", "users", "backup", "bench")
    assert not loaded & {f"timim.cli.{name}" for name in others}

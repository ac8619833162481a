"""Make the environment of this folder: `.venv`, exactly what requirements.lock says, and timim itself.

    python3 .ci/venv.py            create or update .venv; touches .venv/.ready when it is done
    python3 .ci/venv.py lock       write requirements.lock from pyproject.toml (UPGRADE=1: newer versions)
    python3 .ci/venv.py python V   create or update .venv/pyV with another version of Python, from the same lock

Invariant: what is installed was named in the lock with its hash. Where packages come from is the
machine's business: pip's own configuration is read and handed to uv, and nothing of it gets into the lock.
"""

from __future__ import annotations

import ast
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOCK = ROOT / "requirements.lock"
PIP_INSTALL = (PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")

# pip's setting, uv's variable, and what uv puts between several values
SETTINGS = (
    ("index-url", "UV_DEFAULT_INDEX", " "),
    ("extra-index-url", "UV_INDEX", " "),
    ("find-links", "UV_FIND_LINKS", ","),
    ("no-index", "UV_NO_INDEX", " "),
    ("trusted-host", "UV_INSECURE_HOST", " "),
    ("cert", "SSL_CERT_FILE", " "),
    ("proxy", "ALL_PROXY", " "),
)
LOCAL_SOURCES = {"UV_INDEX", "UV_FIND_LINKS"}  # what they hold differs between machines: not for the lock


def run(*command: str | Path, env: dict[str, str] | None = None) -> None:
    subprocess.run([str(part) for part in command], check=True, cwd=ROOT, env=env)


def pip_settings() -> dict[str, str]:
    """Return pip's own settings. uv does not read pip's files, which are often the only ones set in a sandbox."""
    listed = subprocess.run(
        [PYTHON, "-m", "pip", "config", "list"], check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True
    ).stdout
    found: dict[str, str] = {}
    for section in ("global", "install", ":env:"):  # the later wins, as in pip
        for line in listed.splitlines():
            key, _, value = line.partition("=")
            if key.startswith(section + "."):
                found[key.removeprefix(section + ".")] = str(ast.literal_eval(value))
    return found


def uv_env(*, for_lock: bool) -> dict[str, str]:
    env = dict(os.environ)
    env["UV_PYTHON_DOWNLOADS"] = "never"
    # Like pip, look at all indexes; the hashes in the lock decide what is acceptable.
    env.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    settings = pip_settings()
    for name, variable, separator in SETTINGS:
        if name in settings and variable not in env and not (for_lock and variable in LOCAL_SOURCES):
            env[variable] = separator.join(settings[name].split())
    if env.get("UV_NO_INDEX", "").lower() in {"", "0", "false", "no"}:
        env.pop("UV_NO_INDEX", None)
    return env


def uv_requirement() -> str:
    """Return the lock's own entry for uv, hashes included: the installer is pinned like every other package."""
    if not LOCK.exists():
        return "uv\n"
    entry = re.search(r"^uv==.*(?:\n[ \t]+--hash.*)*", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    if entry is None:
        sys.exit(f"{LOCK.name} does not name uv")
    return entry.group().rstrip("\\ ") + "\n"


def install_uv() -> Path:
    uv = VENV / "bin" / "uv"
    wanted = uv_requirement()
    version = re.match(r"uv==([^\s;\\]+)", wanted)
    if uv.exists() and version is not None:
        installed = subprocess.run([uv, "--version"], check=False, stdout=subprocess.PIPE, text=True).stdout
        if installed.split()[1:2] == [version.group(1)]:
            return uv
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "uv.txt"
        file.write_text(wanted, encoding="utf-8")
        run(*PIP_INSTALL, "-r", file)
    return uv


def make_venv() -> None:
    if sys.version_info < (3, 11):  # noqa: UP036  this file is run by whatever python3 is
        sys.exit(f"timim needs Python 3.11 or newer, not {sys.version.split()[0]}: make PYTHON=...")
    # A copied or moved folder brings a .venv that points to the old place.
    scripts = VENV / "bin" / "pip"
    if scripts.exists() and str(VENV) not in scripts.read_text(encoding="utf-8", errors="replace"):
        run(sys.executable, "-m", "venv", "--clear", VENV)
    elif not PYTHON.exists():
        run(sys.executable, "-m", "venv", VENV)


def sync() -> None:
    try:
        uv = install_uv()
        env = uv_env(for_lock=False)
        run(uv, "pip", "sync", "--quiet", "--python", PYTHON, "--require-hashes", LOCK, env=env)
    except (subprocess.CalledProcessError, OSError) as exc:
        print(f"uv could not do it ({exc}); trying pip, which is slower", file=sys.stderr)
        run(*PIP_INSTALL, "--no-deps", "--require-hashes", "-r", LOCK)
    # hatchling is in the lock, so the build needs no environment of its own and no network
    offline = ["--no-deps", "--no-build-isolation", "--no-index"]
    run(*PIP_INSTALL, *offline, "-e", ROOT)
    (VENV / ".ready").touch()


def lock() -> None:
    uv = install_uv()
    what = ["pyproject.toml", "--all-extras", "--universal", "--python-version", "3.11"]
    silent = ["--no-config", "--no-header", "--no-emit-index-url", "--no-emit-find-links"]
    upgrade = ["--upgrade"] if os.environ.get("UPGRADE") else []
    out = ["--quiet", "--generate-hashes", "--no-emit-package", "timim", "--output-file", LOCK.name]
    run(uv, "pip", "compile", *what, *silent, *upgrade, *out, env=uv_env(for_lock=True))
    leak = re.search(r".*(?:://|file:|@ |^-[-if]).*", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    if leak is not None:
        sys.exit(f"{LOCK.name} names a place: {leak.group()!r}")


def sync_other(version: str) -> None:
    """Create or update `.venv/py{version}`, an environment beside the one of the other targets."""
    uv, env = install_uv(), uv_env(for_lock=False)
    folder = VENV / f"py{version}"
    python = folder / "bin" / "python"
    if not python.exists():
        run(uv, "venv", "--quiet", "--python", find_python(version), folder, env=env)
    run(uv, "pip", "sync", "--quiet", "--python", python, "--require-hashes", LOCK, env=env)
    run(uv, "pip", "install", "--quiet", "--python", python, "--no-deps", "--no-build-isolation", "-e", ROOT, env=env)


def find_python(version: str) -> str:
    """Return the interpreter of this version: on the path, or among those that pyenv installed."""
    found = shutil.which(f"python{version}")
    if found is not None and subprocess.run([found, "--version"], check=False, capture_output=True).returncode == 0:
        return found
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    installed = sorted(pyenv.glob(f"{version}.*/bin/python{version}"))
    if not installed:
        sys.exit(f"there is no Python {version} on this machine: install it, and put python{version} on the path")
    return str(installed[-1])


def main() -> None:
    with Path(__file__).open() as own_file:
        fcntl.flock(own_file, fcntl.LOCK_EX)  # two makes at once: the second waits
        make_venv()
        match sys.argv[1:]:
            case []:
                sync()
            case ["lock"]:
                lock()
            case ["python", version]:
                sync_other(version)
            case _:
                sys.exit(__doc__)


main()

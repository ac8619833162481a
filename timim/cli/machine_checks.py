"""Checks of the machine on which a server is to run: versions, disk, port, clock and limits."""

from __future__ import annotations

import os
import re
import resource
import shutil
import socket
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2

from ..util.server_folder import read_address

if TYPE_CHECKING:
    from ..server.settings import Settings

SLOW_COMMIT_S = 0.02  # a slower disk is overloaded or remote
CLOCK_LIMIT_S = 2.0
ANSWER_S = 5.0
FREE_BYTES = 1 << 30  # less is a warning
FULL_BYTES = 100 << 20  # less is bad: SQLite needs room for its log before it can delete anything
FILES_LIMIT = 4096  # open files; fewer are a warning
NETWORK_SYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p", "afs"})
_REQUIREMENT = re.compile(r'([\w.-]+)(?:\[[^\]]*\])?(?:>=([\d.]+))?[^;]*(?:;.*extra == [\'"](\w+)[\'"])?')


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. `good` is None if the operator should look at the finding, although it is no fault."""

    subject: str
    good: bool | None
    text: str


def check_machine(settings: Settings, url: str) -> list[Finding]:
    """Run the checks of this machine; call it outside of the event loop.

    Args:
        settings: The settings of the server.
        url: URL of a running server, with whose clock this machine's is compared; empty for the one that uses the port.
    """
    findings = check_versions(settings)
    if settings.data_dir is not None and (not settings.database or settings.content.folder is not None):
        findings += check_disk(settings.data_dir)
    port, running = check_port(settings)
    return [*findings, port, check_clock(url or running), check_limits()]


def check_versions(settings: Settings) -> list[Finding]:
    """Check the versions of Python, SQLite and the packages, and the extras that the settings need."""
    python = Finding("python", True, f"{sys.version.split()[0]}, timim {_installed('timim') or 'not installed'}")
    missing: dict[str, list[str]] = {}
    extras = set()
    for requirement in requires("timim") or []:
        found = _REQUIREMENT.match(requirement)
        if found is None or found[1] == "timim" or found[3] == "dev":
            continue
        name, least, extra = found.groups(default="")
        extras.add(extra)
        have = _installed(name)
        if not have or _numbers(have) < _numbers(least):
            missing.setdefault(extra, []).append(f"{name} {have or 'is missing'}{f', not {least}' if have else ''}")
    needed = {"", "server"} | ({"cluster"} if settings.database or settings.bus else set())
    packages = [
        Finding("packages", False, f"{', '.join(lacking)}: run pip install --upgrade 'timim[{extra or 'server'}]'")
        for extra, lacking in missing.items()
        if extra in needed
    ]
    if not packages:
        without = sorted(missing.keys() - needed)
        have_extras = ", ".join(sorted(extras - missing.keys() - {""}))
        rest = f"; not installed: {', '.join(without)}" if without else ""
        packages.append(Finding("packages", True, f"extras {have_extras}{rest}"))
    return [python, check_sqlite(), *packages]


def check_sqlite() -> Finding:
    """Check that SQLite has FTS5, with which clients search their messages."""
    with closing(sqlite3.connect(":memory:")) as connection:
        try:
            connection.execute("CREATE VIRTUAL TABLE t USING fts5(words)")
        except sqlite3.OperationalError as exc:
            text = f"{sqlite3.sqlite_version} without FTS5 ({exc}): use a Python that is linked to a complete SQLite"
            return Finding("sqlite", False, text)
    return Finding("sqlite", True, f"{sqlite3.sqlite_version} with FTS5")


def check_disk(folder: Path) -> list[Finding]:
    """Check that the data folder, or the folder in which it will be created, can be written and synced, and has room."""
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        commit_s = _measure_commit(place)
    except OSError as exc:
        return [Finding("disk", False, f"{place} cannot be written: {exc.strerror}; change its owner, or set TIMIM_DATA_DIR")]
    findings = []
    slow = ": slow, messages cannot be acknowledged faster; use a local disk" if commit_s > SLOW_COMMIT_S else ""
    findings.append(Finding("disk", None if slow else True, f"{place}: written and synced in {commit_s * 1000:.1f} ms{slow}"))
    free = shutil.disk_usage(place).free
    room = f"{free / (1 << 30):.1f} GiB free"
    if free < FREE_BYTES:
        room += f": make room on the disk of {place}, or set TIMIM_DATA_DIR"
    findings.append(Finding("space", False if free < FULL_BYTES else None if free < FREE_BYTES else True, room))
    kind = _file_system(place)
    if kind in NETWORK_SYSTEMS:
        text = f"{kind}: SQLite's locks may fail on it; use a local disk, or PostgreSQL (TIMIM_DATABASE)"
        findings.append(Finding("file system", None, text))
    elif kind == "tmpfs":
        findings.append(Finding("file system", None, "tmpfs: a restart of the machine deletes the data; use a disk"))
    return findings


def _measure_commit(folder: Path) -> float:
    """Return the best time of several writes with fsync."""
    best = 1e9
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(5):
            began = time.perf_counter()
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
            best = min(best, time.perf_counter() - began)
    return best


def _file_system(path: Path) -> str:
    """Return the type of the file system of a path; empty if it is unknown."""
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    except OSError:
        return ""
    where = path.resolve()
    found = [(len(mount[1]), mount[2]) for mount in mounts if where.is_relative_to(mount[1])]
    return max(found)[1] if found else ""


def check_port(settings: Settings) -> tuple[Finding, str]:
    """Check that the port is free. Return the finding, and the URL of the timim server that uses the port, if one does."""
    host, port = settings.host, settings.port
    if port == 0:
        return Finding("port", True, "0: the server takes a free port"), ""
    where = f"{host}:{port}"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as exc:
            failure = exc.strerror or str(exc)
        else:
            return Finding("port", True, f"{where} is free"), ""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  compared, not bound
    url = f"ws://{f'[{reachable}]' if ':' in reachable else reachable}:{port}"
    who = _listening_process(port)
    remedy = f"{who}; stop it, or choose another port (TIMIM_PORT)"
    if not _is_timim(url):
        return Finding("port", False, f"{where}: {failure}{remedy}"), ""
    folder = settings.data_dir
    if folder is not None and read_address(folder) == url:
        return Finding("port", True, f"{where}: the server of this data folder runs{who}"), url
    return Finding("port", False, f"{where}: another timim server uses it{remedy}"), url


def _is_timim(url: str) -> bool:
    try:
        with httpx2.Client(timeout=ANSWER_S, trust_env=False) as web:
            return web.get(url.replace("ws", "http", 1) + "/").text.startswith("timim ")
    except (httpx2.HTTPError, OSError):
        return False


def _listening_process(port: int) -> str:
    """Return the program that listens on a TCP port, in brackets; empty if this user may not see it."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = [line.split() for line in Path(table).read_text(encoding="ascii").splitlines()[1:]]
        except OSError:
            continue
        inodes |= {f"socket:[{row[9]}]" for row in rows if row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port}
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(link) in inodes:  # noqa: PTH115  Path.readlink would parse the text as a path
                name = (link.parent.parent / "comm").read_text(encoding="utf-8").strip()
                return f" ({name}, process {link.parts[2]})"
        except OSError:
            continue
    return ""


def check_clock(url: str) -> Finding:
    """Compare this machine's clock with that of a server."""
    now = datetime.now(UTC)
    if not url:
        return Finding("clock", True, f"{now:%Y-%m-%d %H:%M:%S} UTC; --url compares it with a server's")
    try:
        began = time.time()
        with httpx2.Client(timeout=ANSWER_S, trust_env=False) as web:
            reply = web.head(re.sub("^ws", "http", url).rstrip("/") + "/healthz")
        middle = (began + time.time()) / 2
        theirs = parsedate_to_datetime(reply.headers["date"]).timestamp() + 0.5  # the header has whole seconds
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, KeyError, ValueError) as exc:
        return Finding("clock", None, f"no time from {url}: {str(exc) or type(exc).__name__}; check --url")
    offset_s = theirs - middle
    text = f"{offset_s:+.1f} s between {url} and this machine"
    if abs(offset_s) > CLOCK_LIMIT_S:
        return Finding("clock", False, f"{text}: synchronize both with NTP, because signatures and messages have times")
    return Finding("clock", True, text)


def check_limits() -> Finding:
    """Check the limit of open files, which `timim serve` raises as far as the system allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard in (resource.RLIM_INFINITY, -1):
        return Finding("open files", True, "no limit")
    if hard < FILES_LIMIT:
        text = f"{hard}: each client needs one; raise the hard limit (ulimit -Hn, LimitNOFILE= of systemd)"
        return Finding("open files", None, text)
    return Finding("open files", True, f"up to {hard}, one for each client")


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _numbers(text: str) -> tuple[int, ...]:
    """Return a version as numbers, without what follows them."""
    found = re.match(r"[\d.]*", text)
    return tuple(int(part) for part in (found[0] if found else "").split(".") if part)

"""Run a command with loopback as its only network.

    python isolated.py CMD ARGS...

The interoperability tests run third-party programs, which must not reach the internet. The command runs in a new network
namespace: root creates one directly, other users inside a user namespace. The exit status is that of the command, or 77 if
this machine does not allow it; the reason is printed to stderr.

The command runs only if `lo` is up and is the only interface.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

NOT_POSSIBLE = 77  # the exit status that automake uses for "skipped"; pytest has no such status

SIOCGIFFLAGS = 0x8913
SIOCSIFFLAGS = 0x8914
IFF_UP = 0x1
IFREQ = struct.Struct("16sH14x")  # struct ifreq of <net/if.h> with ifr_flags

INSIDE = "--inside"  # option of this file when it runs inside the new namespace


def raise_loopback() -> None:
    """Set `lo` up like `ip link set lo up`, for machines without iproute2. The kernel adds its addresses."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        reply = fcntl.ioctl(sock, SIOCGIFFLAGS, IFREQ.pack(b"lo", 0))
        flags: int = IFREQ.unpack(reply)[1]
        fcntl.ioctl(sock, SIOCSIFFLAGS, IFREQ.pack(b"lo", flags | IFF_UP))


def skip(reason: str) -> NoReturn:
    print(f"isolated: not possible here: {reason}", file=sys.stderr)
    sys.exit(NOT_POSSIBLE)


def run_inside(command: list[str]) -> NoReturn:
    try:
        raise_loopback()
    except OSError as exc:
        skip(f"cannot bring up loopback: {exc}")
    # Some kernels create inactive tunnel devices (tunl0, sit0) in every new namespace: down and without an address.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _, name in socket.if_nameindex():
            flags: int = IFREQ.unpack(fcntl.ioctl(sock, SIOCGIFFLAGS, IFREQ.pack(name.encode(), 0)))[1]
            if name != "lo" and flags & IFF_UP:
                sys.exit(f"isolated: {name} is up: this is not a namespace of our own")
    os.execvp(command[0], command)


def main(arguments: list[str]) -> NoReturn:
    match arguments:
        case [] | ["--inside"]:
            sys.exit(__doc__)
        case ["--inside", *command]:
            run_inside(command)
        case command:
            unshare = shutil.which("unshare")
            if unshare is None:
                skip("there is no unshare (util-linux)")
            into = [unshare, "--net"] if os.geteuid() == 0 else [unshare, "--map-root-user", "--net"]
            probe = subprocess.run([*into, "true"], check=False, capture_output=True, text=True)
            if probe.returncode != 0:
                skip(f"{' '.join(into)}: {probe.stderr.strip()}")
            os.execv(unshare, [*into, sys.executable, str(Path(__file__).resolve()), INSIDE, *command])


if __name__ == "__main__":
    main(sys.argv[1:])

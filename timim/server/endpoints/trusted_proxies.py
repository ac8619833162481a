"""Addresses of clients behind proxies: from the PROXY protocol, or from `Forwarded` and `X-Forwarded-For`.

Only a proxy that the operator trusts is believed. A header that a client sent itself stands left of what the proxy added, so
the rightmost address that is not a trusted proxy is the client's.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple

V1_LIMIT = 107  # bytes of a version 1 header
V2_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V2_LIMIT = 1024  # bytes of addresses and extensions in a version 2 header
_FOR = re.compile(r'(?:^|;)\s*for\s*=\s*("[^"]*"|[^;,\s]*)', re.IGNORECASE)
_PROTO = re.compile(r'(?:^|;)\s*proto\s*=\s*"?(https?|wss?)"?', re.IGNORECASE)
Headers = Iterable[tuple[bytes, bytes]]


class ProxyHeader(NamedTuple):
    """A header of the PROXY protocol: its length, and the address of the client, which a health check does not have."""

    size: int
    client: tuple[str, int] | None


class TrustedProxies:
    """Addresses and networks of proxies that are believed.

    Args:
        names: Addresses and networks, separated by commas.

    Raises:
        ValueError: One of them is neither.
    """

    def __init__(self, names: str) -> None:
        self._networks: list[IPv4Network | IPv6Network] = [
            ip_network(name.strip()) for name in names.split(",") if name.strip()
        ]

    def __contains__(self, host: str) -> bool:
        address = _address(host)
        return address is not None and any(address in network for network in self._networks)

    def client_of(self, headers: Headers) -> str:
        """Return the address of the client that a trusted proxy names, or an empty text."""
        named = [host for name, value in headers for host in _hosts(name, value.decode("latin-1"))]
        for host in reversed(named):
            if _address(host) is None:
                return ""  # what stands further left was not added by a trusted proxy
            if host not in self:
                return host
        return named[0] if named else ""


def scheme_of(headers: Headers) -> str:
    """Return the scheme that a proxy names as that of its client, `http` or `https`, or an empty text."""
    scheme = ""
    for name, value in headers:
        if name == b"x-forwarded-proto":
            scheme = value.decode("latin-1").strip().lower()
        elif name == b"forwarded" and (found := _PROTO.search(value.decode("latin-1").rpartition(",")[2])):
            scheme = found[1].lower()
    return {"http": "http", "ws": "http", "https": "https", "wss": "https"}.get(scheme, "")


def read_proxy_header(data: bytes) -> ProxyHeader | None:
    """Parse the beginning of a connection, which is a header of the PROXY protocol; None if more bytes are needed.

    Raises:
        ValueError: The bytes are no such header.
    """
    if data.startswith(V2_SIGNATURE[: len(data)]):
        return _read_v2(data)
    if not data.startswith(b"PROXY "[: len(data)]):
        raise ValueError("the connection does not begin with a PROXY header")
    end = data.find(b"\r\n")
    if end < 0:
        if len(data) > V1_LIMIT:
            raise ValueError("the PROXY header has no end")
        return None
    words = data[:end].decode("ascii").split(" ")
    if words[1:2] == ["UNKNOWN"]:
        return ProxyHeader(end + 2, None)
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6"):
        raise ValueError("the PROXY header is not of version 1")
    return ProxyHeader(end + 2, (str(ip_address(words[2])), int(words[4])))


def _read_v2(data: bytes) -> ProxyHeader | None:
    if len(data) < 16:
        return None
    version, family, length = struct.unpack("!BBH", data[12:16])
    if version not in (0x20, 0x21) or length > V2_LIMIT:
        raise ValueError("the PROXY header is not of version 2")
    if len(data) < 16 + length:
        return None
    size = {0x11: 4, 0x21: 16}.get(family, 0)
    if version == 0x20 or not size:
        return ProxyHeader(16 + length, None)
    if length < 2 * size + 4:
        raise ValueError("the PROXY header is too short for its addresses")
    port: int = struct.unpack("!H", data[16 + 2 * size : 18 + 2 * size])[0]
    return ProxyHeader(16 + length, (str(ip_address(data[16 : 16 + size])), port))


def _hosts(name: bytes, value: str) -> list[str]:
    """Return the addresses in a header, leftmost first, without their ports."""
    if name == b"x-forwarded-for":
        return [_without_port(part.strip()) for part in value.split(",")]
    if name == b"forwarded":
        return [_without_port(found[1].strip('"')) for part in value.split(",") if (found := _FOR.search(part))]
    return []


def _without_port(text: str) -> str:
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address

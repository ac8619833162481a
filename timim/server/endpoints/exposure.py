"""Warnings about settings with which a server is open to its network, or its clients do not find it."""

from __future__ import annotations

from ipaddress import ip_address

from ..settings import Settings

NO_TLS = (
    "SECURITY: the server listens on {host} without TLS: signatures, tokens and messages cross the network in plain text, and "
    "everybody on the way can read them and log in with them. Set tls_cert and tls_key (--tls-cert, --tls-key), or listen on "
    "127.0.0.1 behind a proxy that ends TLS and name it in trusted_proxies."
)
NO_PUBLIC_URL = (
    "the server listens on {host}, and clients are told that address for pictures and files, which they cannot reach: set "
    "public_url (TIMIM_PUBLIC_URL) to the address that clients use, such as https://chat.example.com"
)
PROXY_WITHOUT_PUBLIC_URL = (
    "a proxy forwards requests to this server, and its clients are told an address of this machine for pictures and files: set "
    "public_url (TIMIM_PUBLIC_URL) to the address of the proxy, such as https://chat.example.com"
)
LOCAL_PROXIES = "127.0.0.1,::1"  # the default of trusted_proxies


def warnings_of(settings: Settings) -> list[str]:
    """Return what an operator should know about the address of a server."""
    if is_loopback(settings.host):
        return []
    warnings = []
    if settings.tls_cert is None and settings.trusted_proxies == LOCAL_PROXIES:
        warnings.append(NO_TLS.format(host=settings.host))
    if not settings.public_url and is_any(settings.host):
        warnings.append(NO_PUBLIC_URL.format(host=settings.host))
    return warnings


def is_loopback(host: str) -> bool:
    """Return True for an address that only this machine reaches."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_any(host: str) -> bool:
    """Return True for the address that stands for all interfaces."""
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return not host

"""How a client reaches its server: the proxy, and the certificates that it trusts."""

from __future__ import annotations

import importlib.util
import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

from websockets.exceptions import InvalidProxy
from websockets.proxy import get_proxy, parse_proxy
from websockets.uri import parse_uri

from ..errors import InvalidArgument
from ..util.arguments import Text

__all__ = [
    "DIRECT",
    "NetworkOptions",
    "ProxySetting",
    "checked_network",
    "checked_url",
    "shown_address",
    "tls_cause",
    "tls_reason",
]

SCHEMES = ("http", "https", "socks5", "socks5h")  # of which the websocket and the media transfers can use each
ProxySetting = Text | Literal[True] | None


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """The `proxy` and `ssl` arguments of a client, valid for its websocket and its media transfers."""

    proxy: ProxySetting = None
    tls: ssl.SSLContext | None = None

    def proxy_for(self, url: str) -> str | None:
        """Return the URL of the proxy for a server, or None for a direct connection.

        With `proxy=True` the environment chooses (WSS_PROXY, HTTPS_PROXY, NO_PROXY, …), but never for a loopback address.

        Raises:
            InvalidArgument: The proxy in the environment is not valid, or needs a package that is not installed.
        """
        if self.proxy is not True:
            return self.proxy
        if _is_loopback(urlsplit(url).hostname or ""):
            return None
        found = get_proxy(parse_uri(url.replace("http", "ws", 1) if url.startswith("http") else url))
        return None if found is None else _checked_proxy(found, "the proxy in the environment")


DIRECT = NetworkOptions()


def checked_url(url: str) -> str:
    """Return the address of a server without a slash at its end. Raises InvalidArgument if it is not a websocket address."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port  # `port` raises ValueError if it is no number up to 65535
    except (ValueError, TypeError, AttributeError) as exc:
        raise InvalidArgument(f"the URL {url!r} is not valid: {exc}") from None
    if parts.scheme not in ("ws", "wss"):
        raise InvalidArgument(f"the URL must begin with ws:// or wss://, not {url!r}")
    if not host or port == 0:
        raise InvalidArgument(f"the URL must name a host, and a port from 1 to 65535 if any, not {url!r}")
    return url.rstrip("/")


def checked_network(url: str, proxy: ProxySetting, tls: ssl.SSLContext | None) -> NetworkOptions:
    """Return the options of a client for the server at `url`. Raises InvalidArgument if one of them is invalid."""
    if tls is not None and not url.startswith("wss://"):
        raise InvalidArgument("ssl= needs a wss:// URL; a ws:// connection is not encrypted")
    if proxy is not None and proxy is not True:
        proxy = _checked_proxy(proxy, "proxy")
    return NetworkOptions(proxy, tls)


def shown_address(url: str) -> str:
    """Return the scheme, host and port of a URL, without its user, password and path."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def tls_reason(exc: BaseException) -> str:
    """Return the reason for which TLS failed, in words that name the certificate. The number of OpenSSL means another error."""
    match exc:
        case ssl.SSLCertVerificationError():
            reason = exc.verify_message.rstrip(".")
            return f"certificate verify failed: {reason}; for an own authority, give its certificate with ssl= or SSL_CERT_FILE"
        case ssl.SSLError() if exc.reason and "CERTIFICATE_REQUIRED" in exc.reason:
            return "the server requires a client certificate; give one with ssl="
        case ssl.SSLError() if exc.reason == "WRONG_VERSION_NUMBER":
            return "the server does not speak TLS at this address; use ws:// or another port"
        case ssl.SSLError():
            return f"TLS failed: {exc.reason or 'the connection was closed'}"
        case _:
            return str(exc)


def tls_cause(exc: BaseException | None) -> ssl.SSLError | None:
    """Return the error of TLS that caused an error, or None."""
    seen = set[int]()
    while exc is not None and id(exc) not in seen:
        if isinstance(exc, ssl.SSLError):
            return exc
        seen.add(id(exc))
        exc = exc.__cause__ or exc.__context__
    return None


def _checked_proxy(proxy: str, name: str) -> str:
    try:
        scheme = parse_proxy(proxy).scheme
    except (InvalidProxy, ValueError):  # their texts contain the password
        scheme = ""
    if scheme not in SCHEMES:
        raise InvalidArgument(f"{name} must be a URL like http://host:3128 or socks5h://user:password@host:1080")
    if scheme.startswith("socks") and not (_installed("python_socks") and _installed("socksio")):
        raise InvalidArgument(f"{name}: SOCKS needs two more packages; run pip install 'timim[socks]'")
    return proxy


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False

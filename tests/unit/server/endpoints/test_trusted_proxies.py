"""Tests of the addresses that proxies name: only trusted ones are believed, and what a client wrote itself is not."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timim.server.endpoints.trusted_proxies import V2_SIGNATURE, TrustedProxies, read_proxy_header, scheme_of

PROXIES = TrustedProxies("10.0.0.0/8, ::1")


@pytest.mark.parametrize(
    "header, client",
    [
        ((b"x-forwarded-for", b"192.0.2.7"), "192.0.2.7"),
        ((b"x-forwarded-for", b"203.0.113.9, 192.0.2.7"), "192.0.2.7"),  # the client wrote the first one itself
        ((b"x-forwarded-for", b"192.0.2.7, 10.1.2.3"), "192.0.2.7"),
        ((b"x-forwarded-for", b"192.0.2.7:4711"), "192.0.2.7"),
        ((b"x-forwarded-for", b"[2001:db8::1]:4711"), "2001:db8::1"),
        ((b"x-forwarded-for", b"192.0.2.7, garbage"), ""),
        ((b"x-forwarded-for", b""), ""),
        ((b"forwarded", b"for=192.0.2.7;proto=https"), "192.0.2.7"),
        ((b"forwarded", b'for=203.0.113.9, for="[2001:db8::1]:80";by=10.0.0.1'), "2001:db8::1"),
        ((b"forwarded", b"for=192.0.2.7, for=_hidden"), ""),
        ((b"x-real-ip", b"192.0.2.7"), ""),
    ],
)
def test_the_rightmost_address_that_is_no_proxy_is_the_client(header: tuple[bytes, bytes], client: str) -> None:
    assert PROXIES.client_of([(b"host", b"x"), header]) == client


def test_networks_and_addresses_are_trusted() -> None:
    assert "10.200.0.1" in PROXIES
    assert "::ffff:10.0.0.1" in PROXIES
    assert "::1" in PROXIES
    assert "192.0.2.7" not in PROXIES
    assert "" not in PROXIES
    with pytest.raises(ValueError, match="localhost"):
        TrustedProxies("localhost")


def test_the_scheme_is_that_of_the_client() -> None:
    assert scheme_of([(b"x-forwarded-proto", b"https")]) == "https"
    assert scheme_of([(b"forwarded", b"for=192.0.2.7;proto=http, for=10.0.0.1;proto=https")]) == "https"
    assert scheme_of([(b"x-forwarded-proto", b"file")]) == ""


def v2(family: int, addresses: bytes, command: int = 0x21) -> bytes:
    return V2_SIGNATURE + struct.pack("!BBH", command, family, len(addresses)) + addresses


IPV4 = bytes((192, 0, 2, 7, 10, 0, 0, 1)) + struct.pack("!HH", 4711, 8700)


@pytest.mark.parametrize(
    "header, client",
    [
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 8700\r\n", ("192.0.2.7", 4711)),
        (b"PROXY TCP6 2001:db8::1 ::1 4711 8700\r\n", ("2001:db8::1", 4711)),
        (b"PROXY UNKNOWN\r\n", None),
        (v2(0x11, IPV4), ("192.0.2.7", 4711)),
        (v2(0x11, IPV4 + b"\x04\0\x01x"), ("192.0.2.7", 4711)),
        (v2(0x21, bytes(15) + b"\1" + bytes(16) + struct.pack("!HH", 1, 2)), ("::1", 1)),
        (v2(0, b"", command=0x20), None),
    ],
)
def test_a_proxy_header_is_read_whole_and_in_parts(header: bytes, client: tuple[str, int] | None) -> None:
    for end in range(len(header)):
        assert read_proxy_header(header[:end]) is None
    found = read_proxy_header(header + b"GET /")
    assert found == (len(header), client)


@pytest.mark.parametrize(
    "header",
    [
        b"GET / HTTP/1.1",
        b"PROXY TCP4 192.0.2.7\r\n",
        b"PROXY TCP4 a b 1 2\r\n",
        b"PROXY " + b"1" * 200,
        v2(0x11, b"abc"),
        v2(0x11, IPV4, 0x31),
    ],
)
def test_other_bytes_are_refused(header: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  several reasons
        read_proxy_header(header)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_header_or_refused(data: bytes) -> None:
    for begin in (b"", b"PROXY ", V2_SIGNATURE):
        try:
            read_proxy_header(begin + data)
        except ValueError:
            pass

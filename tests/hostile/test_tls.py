"""Tests of TLS of the server itself, of its certificate's renewal, and of the errors and warnings that name what is wrong."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from pydantic import ValidationError

from tests.support.hostile_peer import FINAL, PING, UPGRADE, frame, signature
from timim import Client, ConnectionFailed, FileElem, InvalidArgument
from timim.server.endpoints import http_server
from timim.server.endpoints.exposure import warnings_of
from timim.server.endpoints.tls import ServerTls
from timim.server.settings import Settings
from timim.testing import EventRecorder, RunningServer, running_server
from timim.testing.in_process import local_server


class Certificates:
    """A certificate authority, and the files of a server whose certificate it issued."""

    def __init__(self, folder: Path) -> None:
        self.cert, self.key = folder / "server.pem", folder / "server.key"
        self.authority = trustme.CA()
        self.renew()

    def renew(self) -> None:
        """Write a new certificate over the old one."""
        issued = self.authority.issue_cert("127.0.0.1")
        issued.private_key_pem.write_to_path(self.key)
        self.cert.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))

    def trusting(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context

    def settings(self) -> dict[str, Any]:
        return {"tls_cert": str(self.cert), "tls_key": str(self.key)}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls"))


def client_of(server: RunningServer, user: str, trust: ssl.SSLContext | None) -> Client:
    return Client(
        server.url, app_id=server.app_id, user_id=user, user_sig=signature(server, user), ssl=trust, data_dir=":memory:"
    )


async def serial_of(server: RunningServer, trust: ssl.SSLContext) -> int:
    """Return the serial number of the certificate that the server shows."""
    port = int(server.url.rpartition(":")[2])
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
    shown = writer.get_extra_info("ssl_object").getpeercert()
    writer.close()
    return int(shown["serialNumber"], 16)


async def test_a_server_with_tls_serves_messages_and_content(certificates: Certificates) -> None:
    async with running_server(**certificates.settings()) as server:
        assert server.url.startswith("wss://")
        trust = certificates.trusting()
        async with client_of(server, "alice", trust) as alice, client_of(server, "bob", trust) as bob:
            received = EventRecorder(bob)
            await alice.c2c("bob").send(FileElem(data=b"content", filename="f"))
            elem = (await received.wait_for_message())[0]
            assert isinstance(elem, FileElem)
            assert elem.url.startswith("https://")
            assert await elem.read() == b"content"


@pytest.mark.requirement("H25")
async def test_pongs_that_wait_behind_tls_are_counted_too(certificates: Certificates) -> None:
    async with running_server(**certificates.settings(), control_frames_per_s=0, least_rate_s=60) as server:
        port = int(server.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=certificates.trusting())
        writer.write(UPGRADE)
        await reader.readuntil(b"\r\n\r\n")
        pings = frame(FINAL | PING, bytes(125)) * 500
        reading = writer.transport
        assert isinstance(reading, asyncio.Transport)
        reading.pause_reading()

        async def flood() -> None:
            for _ in range(300):
                writer.write(pings)
                await writer.drain()

        async with asyncio.timeout(20):
            with pytest.raises(OSError):  # noqa: PT011  a reset, or an end of the TLS connection
                await flood()
        writer.transport.abort()


async def test_silent_tls_handshakes_end(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "HANDSHAKE_S", 0.3)
    async with local_server(**certificates.settings()) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()


async def test_the_error_of_a_certificate_names_it_and_the_remedy(certificates: Certificates) -> None:
    async with running_server(**certificates.settings()) as server:
        client = client_of(server, "alice", None)
        with pytest.raises(ConnectionFailed, match=r"certificate verify failed: .*ssl=") as caught:
            async with client:
                pass
        assert "not permitted" not in str(caught.value)


async def test_sighup_reads_the_certificate_again_and_keeps_the_old_one_if_it_is_not_valid(certificates: Certificates) -> None:
    async with running_server(**certificates.settings()) as server:
        trust = certificates.trusting()
        first = await serial_of(server, trust)
        good = certificates.key.read_text()
        await asyncio.to_thread(certificates.key.write_text, "no key")
        os.kill(server.pid, signal.SIGHUP)
        assert await serial_of(server, trust) == first
        await asyncio.to_thread(certificates.key.write_text, good)
        await asyncio.to_thread(certificates.renew)
        os.kill(server.pid, signal.SIGHUP)
        until = asyncio.get_running_loop().time() + 10
        while await serial_of(server, trust) == first:
            assert asyncio.get_running_loop().time() < until, "the server shows the old certificate"
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("wrong", ["missing", "no PEM", "another key"])
async def test_wrong_files_are_named_at_the_start(wrong: str, certificates: Certificates, tmp_path: Path) -> None:
    cert, key = certificates.cert, tmp_path / "key.pem"
    if wrong == "no PEM":
        key.write_text("no key")
    elif wrong == "another key":
        certificates.authority.issue_cert("127.0.0.1").private_key_pem.write_to_path(key)
    with pytest.raises(InvalidArgument, match=str(key)):
        await asyncio.to_thread(ServerTls, cert, key)


def test_a_server_that_is_open_to_its_network_without_tls_is_warned_about(certificates: Certificates) -> None:
    def said(**settings: Any) -> str:
        return " ".join(warnings_of(Settings(**settings)))

    assert said() == ""
    assert "without TLS" in said(host="0.0.0.0")
    assert "public_url" in said(host="0.0.0.0")
    assert said(host="0.0.0.0", public_url="https://chat.example.com", trusted_proxies="10.0.0.0/8") == ""
    assert said(host="0.0.0.0", public_url="https://chat.example.com", **certificates.settings()) == ""


def test_settings_of_tls_that_do_not_fit_are_refused() -> None:
    for wrong in ({"tls_cert": "cert.pem", "proxy_protocol": True}, {"trusted_proxies": "localhost"}):
        with pytest.raises(ValidationError):
            Settings(**wrong)

"""Tests of the arguments `proxy=` and `ssl=` of a client, for its websocket and its media transfers."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
import trustme

from tests.support.backing_services import free_port
from tests.support.network_servers import ProxyServer, http_proxy, other_server, socks_proxy, tls_terminator
from timim import Client, ConnectionFailed, FileElem, InvalidArgument, sign_user
from timim.testing import RunningServer, running_server

CONTENT = b"a file that goes through the proxy"
VARIABLES = ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "SOCKS_PROXY", "WS_PROXY", "WSS_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
async def server() -> AsyncIterator[RunningServer]:
    async with running_server() as running:
        await running.add_users("bob")
        yield running


@pytest.fixture
async def proxy() -> AsyncIterator[ProxyServer]:
    async with http_proxy() as running:
        yield running


def client_of(server: RunningServer, url: str, **options: object) -> Client:
    signature = sign_user(server.app_id, server.secret_key, "alice")
    return Client(url, app_id=server.app_id, user_id="alice", user_sig=signature, data_dir=":memory:", **options)  # type: ignore[arg-type]


async def try_login(client: Client) -> None:
    """Log in, and close the client if that fails too."""
    async with client:
        pass


async def send_file(client: Client) -> None:
    """Send a file and read it back from the server."""
    async with client:
        message = await client.c2c("bob").send(FileElem(data=CONTENT, filename="a.txt"))
        [elem] = message.elems
        assert isinstance(elem, FileElem)
        assert await elem.read() == CONTENT


async def test_an_http_proxy_carries_messages_and_media(server: RunningServer, proxy: ProxyServer) -> None:
    await send_file(client_of(server, server.url, proxy=f"http://127.0.0.1:{proxy.port}"))
    target = urlsplit(server.url).netloc
    assert set(proxy.targets) == {target}
    assert len(proxy.targets) > 1, "the media transfers must use the proxy too"


async def test_a_socks_proxy_carries_messages_and_media(server: RunningServer) -> None:
    async with socks_proxy() as proxy:
        await send_file(client_of(server, server.url, proxy=f"socks5h://127.0.0.1:{proxy.port}"))
        assert set(proxy.targets) == {urlsplit(server.url).netloc}
        assert len(proxy.targets) > 1, "the media transfers must use the proxy too"


async def test_a_proxy_gets_the_credentials_of_its_url(server: RunningServer) -> None:
    async with http_proxy("user:secret") as proxy:
        await send_file(client_of(server, server.url, proxy=f"http://user:secret@127.0.0.1:{proxy.port}"))


async def test_the_error_of_a_proxy_names_the_proxy_without_its_password(server: RunningServer) -> None:
    async with http_proxy("user:secret") as proxy:
        client = client_of(server, server.url, proxy=f"http://user:wrong-word@127.0.0.1:{proxy.port}")
        with pytest.raises(ConnectionFailed, match=f"through http://127.0.0.1:{proxy.port}: .*407") as caught:
            await try_login(client)
    assert "wrong-word" not in str(caught.value)


async def test_a_proxy_that_is_not_reachable_ends_the_login(server: RunningServer) -> None:
    port = free_port()
    client = client_of(server, server.url, proxy=f"http://127.0.0.1:{port}")
    with pytest.raises(ConnectionFailed, match=f"through http://127.0.0.1:{port}: Connection refused"):
        await try_login(client)


async def test_the_environment_names_the_proxy_of_other_hosts(
    server: RunningServer, proxy: ProxyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
    url = server.url.replace("127.0.0.1", "chat.test")  # only the proxy knows this name
    async with client_of(server, url):
        assert proxy.targets == [urlsplit(url).netloc]


async def test_the_environment_is_ignored_for_loopback_and_with_none(
    server: RunningServer, proxy: ProxyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
    await send_file(client_of(server, server.url))
    url = server.url.replace("127.0.0.1", "chat.invalid")
    with pytest.raises(ConnectionFailed, match=r"cannot connect to ws://chat\.invalid:\d+: "):
        await try_login(client_of(server, url, proxy=None))
    assert proxy.targets == []


async def test_a_wrong_proxy_in_the_environment_is_named(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "ftp://user:secret@host")
    with pytest.raises(InvalidArgument, match="the proxy in the environment must be a URL like") as caught:
        await try_login(client_of(server, server.url.replace("127.0.0.1", "chat.test")))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("proxy", ["", "host", "ftp://host", "http://", "http://user@host", "http://h:99999", 5, False, b"x"])
def test_a_wrong_proxy_is_refused_at_once(proxy: object) -> None:
    with pytest.raises(InvalidArgument, match=r"proxy:? must be"):
        Client("ws://host", app_id=1, user_id="a", user_sig="sig", proxy=proxy)  # type: ignore[arg-type]


async def test_a_client_trusts_the_authority_of_its_ssl_context() -> None:
    authority = trustme.CA()
    private, trusting = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(private)
    authority.configure_trust(trusting)
    async with tls_terminator(private) as front, running_server(public_url=f"https://127.0.0.1:{front.port}") as server:
        front.target = urlsplit(server.url).netloc
        await server.add_users("bob")
        url = f"wss://127.0.0.1:{front.port}"
        with pytest.raises(ConnectionFailed, match="certificate verify failed"):
            await try_login(client_of(server, url))
        await send_file(client_of(server, url, ssl=trusting))


async def test_a_client_shows_its_own_certificate() -> None:
    authority = trustme.CA()
    private, trusting = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(private)
    authority.configure_trust(private)
    private.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(trusting)
    async with tls_terminator(private) as front, running_server(public_url=f"https://127.0.0.1:{front.port}") as server:
        front.target = urlsplit(server.url).netloc
        await server.add_users("bob")
        url = f"wss://127.0.0.1:{front.port}"
        with pytest.raises(ConnectionFailed, match="give the client certificate that the server requires with ssl="):
            await try_login(client_of(server, url, ssl=trusting))
        authority.issue_cert("alice@example.com").configure_cert(trusting)
        await send_file(client_of(server, url, ssl=trusting))


@pytest.mark.parametrize(
    "url, tls, error",
    [
        ("ws://host", ssl.create_default_context(), "ssl= needs a wss:// URL"),
        ("wss://host", True, "ssl:? must be"),
    ],
)
def test_a_wrong_ssl_is_refused_at_once(url: str, tls: object, error: str) -> None:
    with pytest.raises(InvalidArgument, match=error):
        Client(url, app_id=1, user_id="a", user_sig="sig", ssl=tls)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "answer, reason",
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "the server answered with HTTP 404; check the URL"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "the server answered with HTTP 200; check the URL"),
        (b"220 mail.example.com ESMTP\r\n", "the server does not speak the websocket protocol; check the URL"),
        (b"", "the server does not speak the websocket protocol; check the URL"),
    ],
)
async def test_a_server_of_another_kind_is_described_in_plain_words(answer: bytes, reason: str) -> None:
    async with other_server(answer) as port:
        client = Client(f"ws://127.0.0.1:{port}", app_id=1, user_id="a", user_sig="sig", data_dir=":memory:")
        with pytest.raises(ConnectionFailed) as caught:
            await try_login(client)
    assert caught.value.info == f"cannot connect to ws://127.0.0.1:{port}: {reason}"


async def test_the_error_of_a_media_server_that_is_gone_names_its_address(server: RunningServer) -> None:
    with socket.socket() as taken:  # bound and not listening: nobody else can take the port meanwhile
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        await check_media_error(server, port)


async def check_media_error(server: RunningServer, port: int) -> None:
    async with client_of(server, server.url) as client:
        client._engine.connection.server_info.media_url = f"http://127.0.0.1:{port}/media"
        with pytest.raises(ConnectionFailed) as caught:
            await client.c2c("bob").send(FileElem(data=CONTENT, filename="a.txt"), timeout=30)
    assert caught.value.info == f"cannot connect to the media server at http://127.0.0.1:{port}"

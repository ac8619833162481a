"""Tests that logs at DEBUG, of libraries too, have neither a text of a message nor a secret, on both sides."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.protocol import Protocol

from tests.support.rest import RestClient
from timim import Client, FileElem, TimimError, sign_user
from timim.protocol.frames import Head
from timim.server.content.downloads import Downloads
from timim.server.sessions.auth import Auth, Login
from timim.testing import EventRecorder
from timim.testing.in_process import local_server

TOKEN_OF_WEBHOOKS = "a token that signs webhooks"
OF_THE_TEST = {"httpx2", "httpcore2", "httpcore", "asyncio"}  # the test's own requests; timim silences its client's
SECRET = "what only alice and bob know"


@pytest.fixture
def verbose(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Set every logger to DEBUG."""
    levels = {name: logging.getLogger(name).level for name in logging.root.manager.loggerDict}
    caplog.set_level(logging.DEBUG)
    for name in levels:
        logging.getLogger(name).setLevel(logging.DEBUG)
    yield caplog
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


async def logged_frames(verbose: pytest.LogCaptureFixture) -> list[str]:
    """Exchange a message, send one that is no frame, and return the records that have a part of one."""
    async with local_server() as server, server.client("bob") as bob, server.client("alice") as alice:
        received = EventRecorder(bob)
        await alice.c2c("bob").send(SECRET)
        await received.wait_for_messages(1)
        await alice.c2c("bob").get_messages(10)
        async with connect(server.url) as stranger:
            await stranger.send(SECRET)
            with pytest.raises(ConnectionClosed):
                await stranger.recv()
    texts = [record.getMessage() for record in verbose.records if record.name != "websockets.client"]  # that of `stranger`
    assert texts
    return [text for text in texts if SECRET[:20] in text or SECRET[-20:] in text or "BINARY" in text]


@pytest.mark.requirement("H34", "R15")
async def test_no_log_has_the_text_of_a_message(verbose: pytest.LogCaptureFixture) -> None:
    assert await logged_frames(verbose) == []


@pytest.mark.requirement("H34", "R15")
async def test_libraries_that_log_frames_are_detected(
    verbose: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Protocol, "debug", property(lambda self: True, lambda self, value: None), raising=False)
    frames = await logged_frames(verbose)
    assert any(text.startswith(f"< TEXT '{SECRET[:20]}") for text in frames)
    assert any(text.startswith("> BINARY") for text in frames)


async def told_secrets(verbose: pytest.LogCaptureFixture, patch: pytest.MonkeyPatch) -> list[str]:
    """Use keys, signatures, tokens and signed addresses, with failures, and return the secrets that something shows."""
    shown: list[str] = []

    async def fail(self: Downloads, uuid: str, user: str) -> None:
        raise RuntimeError("a failure with a traceback")

    async with (
        local_server(webhook_url="http://127.0.0.1:1/", webhook_token=TOKEN_OF_WEBHOOKS) as server,
        server.client("bob") as bob,
        RestClient(server) as rest,
        httpx2.AsyncClient(trust_env=False) as http,
    ):
        await server.add_users("alice")
        alice = server.client("alice")
        signature = sign_user(server.app_id, server.secret_key, "alice", expire_s=1000)
        old = sign_user(server.app_id, server.secret_key, "alice", now=1_700_000_000, expire_s=1)
        async with alice:
            info = alice.engine.connection.server_info
            elem = (await alice.c2c("bob").send(FileElem(data=b"content", filename="f")))[0]
            assert isinstance(elem, FileElem)
            address = await elem.signed_url()
            rest_signature = rest.query()["usersig"]
            for user, given in (("alice", signature[:-9] + "AAAAAAAAA"), ("bob", signature), ("alice", old)):
                with pytest.raises(TimimError) as refused:
                    async with Client(server.url, app_id=server.app_id, user_id=user, user_sig=given, data_dir=":memory:"):
                        pass
                shown += [str(refused.value), repr(refused.value)]
            for url in (address, address[:-1] + "x", address.replace("/media/", "/media/0")):
                await http.get(url)
            await http.get(f"{info.media_url}/{elem.uuid}", headers={"Authorization": f"Bearer {info.token}"})
            await rest.call("no/such", {}, usersig=rest_signature)
            await rest.call("openim/sendmsg", b"{", usersig=rest_signature)
            server.faults.cut(user="alice")
            await alice.c2c("bob").send("after the cut")
            patch.setattr(Downloads, "find", fail)
            for url in (address, f"{info.media_url}/{elem.uuid}"):
                with suppress(httpx2.HTTPError):
                    await http.get(url, headers={"Authorization": f"Bearer {info.token}"})
            parts = (
                alice,
                bob,
                alice.engine,
                alice.engine.connection,
                info,
                server,
                Head("", usersig=signature, a2=info.token),
            )
            shown += [repr(part) for part in parts]
            token = info.token
    formatter = logging.Formatter("%(name)s %(message)s")
    shown += [formatter.format(record) for record in verbose.records if record.name not in OF_THE_TEST]
    assert any("a failure with a traceback" in text for text in shown)
    secrets = {
        "key": server.secret_key,
        "signature": signature[:60],
        "expired signature": old[:60],
        "REST signature": rest_signature[:60],
        "token": token,
        "signed address": address.rpartition("=")[2],
        "token of webhooks": TOKEN_OF_WEBHOOKS,
    }
    return [name for name, secret in secrets.items() if any(secret in text for text in shown)]


@pytest.mark.requirement("H33", "R15")
async def test_no_log_repr_or_error_has_a_secret(verbose: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await told_secrets(verbose, monkeypatch) == []


@pytest.mark.requirement("H33", "R15")
async def test_a_server_that_logs_its_callers_is_detected(
    verbose: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    login, user_of = Auth.login, Auth.user_of

    async def log_login(self: Auth, user: str, signature: str) -> Login:
        logging.getLogger("timim.server").debug("%s logs in with %s", user, signature)
        return await login(self, user, signature)

    async def log_token(self: Auth, token: str) -> str | None:
        logging.getLogger("timim.server").debug("a request with %s", token)
        return await user_of(self, token)

    monkeypatch.setattr(Auth, "login", log_login)
    monkeypatch.setattr(Auth, "user_of", log_token)
    assert set(await told_secrets(verbose, monkeypatch)) >= {"expired signature", "REST signature", "token"}

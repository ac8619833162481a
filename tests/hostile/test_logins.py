"""Tests of the end of logins: with the signature, by a logout, by an administrator, and by another device."""

from __future__ import annotations

import asyncio
import base64
import json
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from tests.integration.cli.test_cli import Said, timim
from tests.support.backing_services import Nats
from tests.support.deployment import THIS, deployment
from tests.support.raw_session import raw_session
from timim import (
    AuthError,
    ConnectionRestored,
    KickedOffline,
    KickedOut,
    NoPermission,
    SignatureExpired,
    UnknownUser,
    sign_user,
)
from timim.protocol.administration import END_LOGINS, EndLoginsRequest
from timim.protocol.codec import Body
from timim.protocol.session import LOGOUT
from timim.testing import EventRecorder, RunningServer, running_server
from timim.usersig import _hmac

pytestmark = pytest.mark.asyncio(loop_scope="module")
CUT_LIMIT_S = 2.0  # twice the promise, because the machine is shared
MUTANT = ("-m", "tests.mutants.sessions_for_ever")
Check = Callable[[RunningServer], Awaitable[None]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[RunningServer]:
    async with running_server(devices="platform") as running:
        await running.add_users("bob", "administrator")
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mutant(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServer]:
    running = RunningServer(await asyncio.to_thread(tmp_path_factory.mktemp, "mutant"), {"devices": "platform"})
    running.program = MUTANT
    await running.start()
    await running.add_users("bob", "administrator")
    yield running
    await running.faults.stop()
    await running.stop()


async def end_logins(server: RunningServer, user: str, *, revoke: bool, at: str = "") -> int:
    """End the logins of a user, as `timim users kick` and `timim users revoke` do."""
    async with raw_session(server, at) as admin:
        await admin.login("administrator")
        return (await admin.call(END_LOGINS, EndLoginsRequest(user=user, revoke=int(revoke)))).sessions


def here(server: RunningServer) -> int:
    """Return the sessions of a user at the node at which an administrator ends them: with two, they are at the other."""
    return 1 if len(server.urls) == 1 else 0


async def refused_login(server: RunningServer, user: str, *, signature: str = "", token: str = "") -> AuthError:
    async with raw_session(server) as again:
        with pytest.raises(AuthError) as refused:
            await again.login(user, signature=signature, token=token)
        return refused.value


async def check_signature_end(server: RunningServer) -> None:
    """Check that a session ends with its signature, and its token too."""
    async with raw_session(server) as session:
        reply = await session.login("ends", expire_s=2)
        await session.send("bob")
        async with asyncio.timeout(3):
            assert "expired" in await session.closed()
        assert server.clock.now() > reply.expired_time
    assert (await refused_login(server, "ends", token=session.token)).code == 70001


async def check_logout(server: RunningServer) -> None:
    """Check that a logout ends the token, also after a restart of the server."""
    async with raw_session(server) as session:
        await session.login("leaves")
        await session.call(LOGOUT, Body())
        await session.closed()
    assert (await refused_login(server, "leaves", token=session.token)).code == 70003


async def check_kick(server: RunningServer) -> None:
    """Check that a kick ends session and token within a second, and not the signature."""
    signature = sign_user(server.app_id, server.secret_key, "kicked")
    async with raw_session(server) as session:
        await session.login("kicked", signature=signature)
        assert await end_logins(server, "kicked", revoke=False) == here(server)
        async with asyncio.timeout(CUT_LIMIT_S):
            assert "administrator" in await session.closed()
    assert (await refused_login(server, "kicked", token=session.token)).code == 6208
    async with raw_session(server) as again:
        await again.login("kicked", signature=signature)
        await again.send("bob")


async def check_revocation(server: RunningServer) -> None:
    """Check that a revocation ends session, token and signature, also after a restart of the server."""
    signature = sign_user(server.app_id, server.secret_key, "revoked")
    async with raw_session(server) as session:
        await session.login("revoked", signature=signature)
        assert await end_logins(server, "revoked", revoke=True) == here(server)
        async with asyncio.timeout(CUT_LIMIT_S):
            assert "revoked" in await session.closed()
    await server.restart()
    assert (await refused_login(server, "revoked", token=session.token)).code == 70052
    assert (await refused_login(server, "revoked", signature=signature)).code == 70052


async def check_lost_place(server: RunningServer) -> None:
    """Check that a session which lost its place sends nothing more, and that its token does not take the place back."""
    at = server.url  # another node hears of the second login a moment later
    async with raw_session(server, at) as first, raw_session(server, at) as second:
        await first.login("two")
        await second.login("two")
        with pytest.raises(KickedOffline):
            await first.send("bob")
        await second.send("bob")
        assert (await refused_login(server, "two", token=first.token)).code == 6208
        await second.call(LOGOUT, Body())
        assert (await refused_login(server, "two", token=first.token)).code == 6208


CHECKS = [
    pytest.param(check_signature_end, marks=pytest.mark.requirement("H3")),
    pytest.param(check_logout, marks=pytest.mark.requirement("H4")),
    pytest.param(check_kick, marks=pytest.mark.requirement("H4")),
    pytest.param(check_revocation, marks=pytest.mark.requirement("H4")),
    pytest.param(check_lost_place, marks=pytest.mark.requirement("H4b")),
]


@pytest.mark.parametrize("check", CHECKS)
async def test_a_login_that_has_ended_does_no_more(server: RunningServer, check: Check) -> None:
    await check(server)


@pytest.mark.parametrize("check", CHECKS)
async def test_a_server_that_ends_no_login_is_detected(mutant: RunningServer, check: Check) -> None:
    with pytest.raises((AssertionError, pytest.fail.Exception, TimeoutError)):
        await check(mutant)


@pytest.mark.requirement("H1", "R14")
@pytest.mark.parametrize("name, value", [("TLS.expire", 10**400), ("TLS.time", 10**400), ("TLS.time", -1)])
async def test_a_signature_with_a_time_that_cannot_be_is_refused(server: RunningServer, name: str, value: int) -> None:
    times = {"TLS.time": int(server.clock.now()), "TLS.expire": 3600, name: value}
    fields = {"TLS.ver": "2.0", "TLS.identifier": "odd", "TLS.sdkappid": server.app_id, **times}
    fields["TLS.sig"] = _hmac(server.secret_key, "odd", server.app_id, times["TLS.time"], times["TLS.expire"], None)
    packed = base64.b64encode(zlib.compress(json.dumps(fields).encode())).decode()
    signature = packed.replace("+", "*").replace("/", "-").replace("=", "_")
    assert (await refused_login(server, "odd", signature=signature)).code == 70003


async def test_only_the_administrator_ends_logins(server: RunningServer) -> None:
    async with raw_session(server) as session:
        await session.login("mallory")
        with pytest.raises(NoPermission):
            await session.call(END_LOGINS, EndLoginsRequest(user="bob"))
    with pytest.raises(UnknownUser):
        await end_logins(server, "nobody-of-this-name", revoke=True)


@pytest.mark.requirement("H3", "R3")
async def test_a_client_with_a_function_outlives_its_signatures(server: RunningServer, tmp_path: Path) -> None:
    """Test that nothing is lost or repeated over sessions of two seconds, and that the user sees no end."""

    def sign() -> str:
        return sign_user(server.app_id, server.secret_key, "renews", expire_s=2)

    async with server.client("bob") as bob, server.client("renews", user_sig=sign, data_dir=tmp_path) as client:
        heard = EventRecorder(bob)
        events = EventRecorder(client, KickedOut, ConnectionRestored)
        sent = 0
        while sum(isinstance(event, ConnectionRestored) for event in events.events) < 2:
            await client.c2c("bob").send(str(sent))
            sent += 1
        await heard.wait_for_messages(sent)
        assert [message.text for message in heard.messages] == [str(n) for n in range(sent)]
        assert not any(isinstance(event, KickedOut) for event in events.events)


@pytest.mark.requirement("H4")
async def test_a_revocation_ends_a_client_unless_it_gets_a_new_signature(server: RunningServer) -> None:
    stolen = sign_user(server.app_id, server.secret_key, "carol")
    made: list[str] = []

    def sign() -> str:
        made.append(sign_user(server.app_id, server.secret_key, "carol"))
        return made[-1]

    async with (
        server.client("carol", user_sig=stolen, platform="mobile") as thief,
        server.client("carol", user_sig=sign, platform="desktop", reconnect_limit=0.2) as owner,
        server.client("carol", user_sig=lambda: stolen, platform="pad", reconnect_limit=0.2) as cached,
    ):
        ends = [EventRecorder(client, KickedOut) for client in (thief, cached)]
        restored = EventRecorder(owner, KickedOut, ConnectionRestored)
        await end_logins(server, "carol", revoke=True)
        for end in ends:
            error = (await end.wait_for_event(KickedOut)).error
            assert isinstance(error, SignatureExpired)
            assert error.code == 70052
        with pytest.raises(SignatureExpired):
            await thief.c2c("bob").send("never")
        await restored.wait_for_event(ConnectionRestored)
        await owner.c2c("bob").send("still here")
        assert not any(isinstance(event, KickedOut) for event in restored.events)


@pytest.mark.requirement("H4")
async def test_a_kicked_client_is_told_and_can_log_in_again(server: RunningServer) -> None:
    async with server.client("dave") as dave:
        end = EventRecorder(dave, KickedOut)
        await end_logins(server, "dave", revoke=False)
        error = (await end.wait_for_event(KickedOut)).error
        assert isinstance(error, KickedOffline)
        assert "administrator" in error.info
        await dave.login()
        await dave.c2c("bob").send("back")


@pytest.mark.requirement("H4")
async def test_the_command_line_ends_logins(server: RunningServer, tmp_path: Path) -> None:
    async with server.client("gina") as gina:
        end = EventRecorder(gina, KickedOut)
        kicked = await timim(tmp_path, "users", "kick", "gina", "--data-dir", str(server.folder))
        assert kicked == Said(0, "ended the logins of gina; sessions cut on this server: 1\n", "")
        await end.wait_for_event(KickedOut)
        revoked = await timim(tmp_path, "users", "revoke", "gina", "--json", "--data-dir", str(server.folder))
        assert json.loads(revoked.out) == {"type": "kicked", "user": "gina", "revoked": True, "sessions": 0}
        with pytest.raises(SignatureExpired):
            await gina.login()
    assert "90009" in (await timim(tmp_path, "users", "kick", "bob", "--as", "bob", "--data-dir", str(server.folder))).refusal


@pytest.mark.requirement("H4")
async def test_a_revocation_cuts_the_sockets_on_every_gateway(database: Callable[[], str], nats_server: Nats) -> None:
    async with deployment(THIS, THIS, database=database(), bus=nats_server.url) as running:
        here, there = running.gateways
        await here.add_users("administrator")
        async with raw_session(there) as session, there.client("eve") as eve:
            await session.login("eve")
            end = EventRecorder(eve, KickedOut)
            await end_logins(here, "eve", revoke=True)
            async with asyncio.timeout(CUT_LIMIT_S):
                assert "revoked" in await session.closed()
            assert (await end.wait_for_event(KickedOut)).error.code == 70052
        assert (await refused_login(there, "eve", token=session.token)).code == 70052
        assert (await refused_login(here, "eve", token=session.token)).code == 70052


@pytest.mark.requirement("H4")
async def test_two_keys_are_accepted_while_one_replaces_the_other(tmp_path: Path) -> None:
    async with running_server(previous_secret_key="the old key", data_dir=tmp_path) as server:
        for key in (server.secret_key, "the old key"):
            async with raw_session(server) as session:
                await session.login("frank", signature=sign_user(server.app_id, key, "frank"))
                token = session.token
            async with raw_session(server) as resumed:
                await resumed.login("frank", token=token)
        third = sign_user(server.app_id, "another key", "frank")
        assert (await refused_login(server, "frank", signature=third)).code == 70003

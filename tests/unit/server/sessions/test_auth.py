"""Tests of signatures at login, and of the tokens that replace them afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from timim import AuthError, KickedOffline, SignatureExpired, sign_user
from timim.server.sessions.auth import Auth, Login, _mac
from timim.server.store.operation import first_row
from timim.server.store.revocations import TOKENS_LIMIT
from timim.server.store.sqlite import SqliteStore

APP, KEY, START = 1_400_000_000, "secret", 1_700_000_000.0


class Clock:
    """A clock that is set by hand."""

    now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store() -> AsyncIterator[SqliteStore]:
    opened = SqliteStore(None)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def auth(store: SqliteStore, clock: Clock) -> Auth:
    return Auth(APP, [KEY, "old"], store.revocations, now=clock)


def signature(user: str = "alice", *, key: str = KEY, expire_s: int = 60) -> str:
    return sign_user(APP, key, user, expire_s=expire_s, now=START)


@pytest.mark.parametrize("user", ["alice", "李雷", "a.b"])
async def test_a_token_stands_for_its_login_until_the_signature_ends(auth: Auth, clock: Clock, user: str) -> None:
    login = await auth.login(user, signature(user))
    assert login.expires_at == START + 60
    assert await auth.resume(login.token) == login
    assert await auth.user_of(login.token) == user
    clock.now = START + 61
    with pytest.raises(SignatureExpired):
        await auth.resume(login.token)
    assert await auth.user_of(login.token) is None


async def test_each_login_has_a_token_of_its_own(auth: Auth) -> None:
    assert len({(await auth.login("alice", signature())).token for _ in range(10)}) == 10


@pytest.mark.requirement("R14")
async def test_an_altered_token_is_refused(auth: Auth) -> None:
    token = (await auth.login("alice", signature())).token
    altered = {token[:at] + ("0" if token[at] != "0" else "1") + token[at + 1 :] for at in range(len(token))}
    altered |= {"", ".", "...", token[:-1], token + "0", token.replace("616c696365", "626f62", 1), "ü" + token, "x" * 600}
    for wrong in altered:
        with pytest.raises(AuthError) as refused:
            await auth.resume(wrong)
        assert refused.value.code == 70003, wrong


@pytest.mark.requirement("R14")
async def test_a_signature_of_another_key_or_user_is_refused(auth: Auth) -> None:
    for user, wrong in (("alice", signature(key="another")), ("bob", signature("alice")), ("alice", ""), ("alice", "x" * 9000)):
        with pytest.raises(AuthError):
            await auth.login(user, wrong)


@pytest.mark.requirement("R14", "H4")
async def test_two_keys_are_accepted_while_they_are_rotated(store: SqliteStore, clock: Clock) -> None:
    before, during, after = (Auth(APP, keys, store.revocations, now=clock) for keys in (["old"], [KEY, "old"], [KEY]))
    token = (await before.login("alice", signature(key="old"))).token
    assert await during.user_of(token) == "alice"
    login = await during.login("alice", signature(key="old"))
    assert login.expires_at == START + 60
    assert await after.user_of(token) is None
    assert await after.user_of(login.token) == "alice"


@pytest.mark.requirement("H4")
async def test_a_logout_ends_one_token_and_a_kick_all_that_began_before(auth: Auth, store: SqliteStore, clock: Clock) -> None:
    first, second = await auth.login("alice", signature()), await auth.login("alice", signature())
    await auth.end_token(first)
    assert (await auth.user_of(first.token), await auth.user_of(second.token)) == (None, "alice")
    await store.revocations.end_logins("alice", until_ms=int((START + 1) * 1000))
    with pytest.raises(KickedOffline):
        await auth.resume(second.token)
    later = await auth.login("alice", signature())  # also in the same millisecond, and on a node whose clock is behind
    assert await auth.user_of(later.token) == "alice"
    await store.revocations.end_logins("alice", until_ms=0)  # a revocation that is late takes nothing back
    assert await auth.user_of(second.token) is None


@pytest.mark.requirement("H4")
async def test_a_signature_made_until_its_revocation_is_refused(auth: Auth, store: SqliteStore, clock: Clock) -> None:
    clock.now = START + 0.75
    await store.revocations.end_logins("alice", until_ms=1, signed_until=int(START))
    with pytest.raises(SignatureExpired) as refused:
        await auth.login("alice", signature())
    assert (refused.value.code, refused.value.retry_after) == (70052, 0.25)
    clock.now = START + 2
    with pytest.raises(SignatureExpired) as refused:
        await auth.login("alice", signature())
    assert refused.value.retry_after is None  # a signature made now will do, and this one will not
    assert (await auth.login("alice", sign_user(APP, KEY, "alice", now=START + 1))).user == "alice"
    assert (await auth.login("bob", signature("bob"))).user == "bob"


async def test_a_token_without_times_is_accepted_until_a_revocation(auth: Auth, store: SqliteStore) -> None:
    """Test a token that an earlier version of the server made."""
    old = "616c696365.1700000060.00112233aabbccdd.4b31a3a36b6a0a5e"
    fields = old.rpartition(".")[0]
    token = f"{fields}.{_mac(KEY, fields)}"
    assert await auth.resume(token) == Login("alice", token, "00112233aabbccdd", 0, 0, 1_700_000_060)
    await store.revocations.end_logins("alice", until_ms=1)
    assert await auth.user_of(token) is None


@pytest.mark.requirement("H12")
async def test_the_ended_tokens_of_a_user_are_bounded(auth: Auth, store: SqliteStore, clock: Clock) -> None:
    logins = [Login("alice", "", str(n), n + 1, 0, int(START) + 60) for n in range(TOKENS_LIMIT + 5)]
    for login in logins:
        await auth.end_token(login)
    kept = await store.engine.read(lambda: first_row("SELECT count(*) FROM ended_tokens"))
    assert kept is not None
    assert kept[0] == TOKENS_LIMIT
    states = [await store.revocations.state("alice", login.token_id) for login in logins]
    assert all(
        state.token_ended or login.begun_ms <= state.tokens_until_ms for state, login in zip(states, logins, strict=True)
    )
    assert states[0].logins_until_ms == 0  # sessions that are online go on
    clock.now = START + 100
    await auth.end_token(Login("alice", "", "last", 10**6, 0, int(START) + 200))
    kept = await store.engine.read(lambda: first_row("SELECT count(*) FROM ended_tokens"))
    assert kept is not None
    assert kept[0] == 1  # those that have expired are forgotten

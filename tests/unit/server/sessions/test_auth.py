"""Tests of signatures at login, and of the tokens that replace them afterwards."""

from __future__ import annotations

import pytest

from timim import AuthError, SignatureExpired, sign_user
from timim.server.sessions.auth import Auth

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
def auth(clock: Clock) -> Auth:
    return Auth(APP, [KEY, "old"], admin="administrator", now=clock)


def signature(user: str = "alice", *, key: str = KEY, expire_s: int = 60) -> str:
    return sign_user(APP, key, user, expire_s=expire_s, now=START)


@pytest.mark.parametrize("user", ["alice", "李雷", "a.b"])
def test_a_token_stands_for_its_user_until_the_signature_ends(auth: Auth, clock: Clock, user: str) -> None:
    token, expires = auth.login(user, signature(user))
    assert expires == START + 60
    assert auth.resume(token) == (user, START + 60)
    assert auth.user_of(token) == user
    clock.now = START + 61
    with pytest.raises(SignatureExpired):
        auth.resume(token)
    assert auth.user_of(token) is None


def test_each_login_has_a_token_of_its_own(auth: Auth) -> None:
    assert len({auth.login("alice", signature())[0] for _ in range(10)}) == 10


@pytest.mark.requirement("R14")
def test_an_altered_token_is_refused(auth: Auth) -> None:
    token, _ = auth.login("alice", signature())
    altered = {token[:at] + ("0" if token[at] != "0" else "1") + token[at + 1 :] for at in range(len(token))}
    altered |= {"", ".", "...", token[:-1], token + "0", token.replace("616c696365", "626f62", 1), "ü" + token, "x" * 600}
    for wrong in altered:
        with pytest.raises(AuthError) as refused:
            auth.resume(wrong)
        assert refused.value.code == 70003, wrong


@pytest.mark.requirement("R14")
def test_a_signature_of_another_key_or_user_is_refused(auth: Auth) -> None:
    for user, wrong in (("alice", signature(key="another")), ("bob", signature("alice")), ("alice", ""), ("alice", "x" * 9000)):
        with pytest.raises(AuthError):
            auth.login(user, wrong)


@pytest.mark.requirement("R14")
def test_two_keys_are_accepted_while_they_are_rotated(clock: Clock) -> None:
    before = Auth(APP, ["old"], admin="administrator", now=clock)
    during = Auth(APP, [KEY, "old"], admin="administrator", now=clock)
    after = Auth(APP, [KEY], admin="administrator", now=clock)
    token, _ = before.login("alice", signature(key="old"))
    assert during.user_of(token) == "alice"
    assert during.login("alice", signature(key="old"))[1] == START + 60
    assert after.user_of(token) is None
    assert after.user_of(during.login("alice", signature(key="old"))[0]) == "alice"


def test_only_the_administrator_passes_the_admin_check(auth: Auth) -> None:
    auth.check_admin("administrator", signature("administrator"))
    with pytest.raises(AuthError) as refused:
        auth.check_admin("alice", signature("alice"))
    assert refused.value.code == 60010

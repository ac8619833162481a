"""Tests of the signatures of a client: which refusals another signature can mend."""

from __future__ import annotations

import pytest

from timim import AuthError, KickedOffline, SignatureExpired
from timim.transport.signature import SignatureSource

EXPIRED = SignatureExpired("expired", code=70001)


async def test_a_fixed_signature_is_not_renewed() -> None:
    source = SignatureSource("signature")
    assert await source.next(timeout_s=1) == "signature"
    assert not source.can_renew(EXPIRED)


@pytest.mark.requirement("H3")
async def test_a_function_is_asked_again_until_it_repeats_a_refused_signature() -> None:
    signatures = iter(["one", "two", "two"])
    source = SignatureSource(lambda: next(signatures))
    outcomes = []
    for _ in range(3):
        await source.next(timeout_s=1)
        outcomes.append(source.can_renew(EXPIRED))
    assert outcomes == [True, True, False]
    assert not source.can_renew(KickedOffline("another device"))
    assert not source.can_renew(AuthError("another key"))


@pytest.mark.requirement("H4")
async def test_a_function_may_repeat_itself_while_the_server_says_when_a_new_one_will_do() -> None:
    source = SignatureSource(lambda: "of this second")
    for _ in range(5):
        await source.next(timeout_s=1)
        assert source.can_renew(SignatureExpired("revoked", code=70052, retry_after=0.5))

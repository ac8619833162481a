"""Tests of UserSig: signatures of the public signer are accepted, all others are refused."""

from __future__ import annotations

import base64
import random
import zlib

import pytest

from timim import AuthError, SignatureExpired, sign_user
from timim.usersig import VerifiedSig, verify_user_sig

APP, KEY, NOW = 1_400_000_000, "secret", 1_700_000_000.0


def verified(signature: str, *, app_id: int = APP, user_id: str = "alice", now: float = NOW) -> VerifiedSig:
    return verify_user_sig(signature, app_id=app_id, user_id=user_id, secret_keys=["old", KEY], now=now)


def test_signatures_of_tencents_signer_are_accepted() -> None:
    import time

    from TLSSigAPIv2 import TLSSigAPIv2

    signature = TLSSigAPIv2(APP, KEY).gen_sig("alice", 3600)
    assert verified(signature, now=time.time()).user_id == "alice"


def test_a_signature_is_valid_only_for_its_user_app_key_and_time() -> None:
    signature = sign_user(APP, KEY, "alice", expire_s=60, userbuf=b"\x00x", now=NOW)
    assert verified(signature).userbuf == b"\x00x"
    for code, changed in (
        (70013, {"user_id": "bob"}),
        (70014, {"app_id": APP + 1}),
        (70001, {"now": NOW + 61}),
        (70003, {"now": NOW - 1000}),
    ):
        with pytest.raises(AuthError) as refused:
            verified(signature, **changed)
        assert refused.value.code == code
    with pytest.raises(SignatureExpired):
        verified(signature, now=NOW + 61)
    with pytest.raises(AuthError) as empty:
        verified("")
    assert empty.value.code == 70002


@pytest.mark.requirement("R14")
def test_a_thousand_bit_flips_are_refused() -> None:
    seed = random.randrange(2**32)
    flips = random.Random(seed)
    packed = bytearray(base64.b64decode(sign_user(APP, KEY, "alice", now=NOW).translate({42: 43, 45: 47, 95: 61})))
    good = zlib.decompress(packed)
    for _ in range(1000):
        text = bytearray(good)
        text[flips.randrange(len(text))] ^= 1 << flips.randrange(8)
        forged = base64.b64encode(zlib.compress(bytes(text))).decode().translate({43: 42, 47: 45, 61: 95})
        try:
            verified(forged)
        except AuthError:
            continue
        pytest.fail(f"accepted a forged signature, seed {seed}")


@pytest.mark.requirement("R14")
def test_a_bomb_is_refused_before_it_is_inflated() -> None:
    bomb = base64.b64encode(zlib.compress(b"0" * 5_000_000)).decode().translate({43: 42, 47: 45, 61: 95})
    assert len(bomb) < 8192
    with pytest.raises(AuthError):
        verified(bomb)

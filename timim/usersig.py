"""UserSig, version 2: signature of a user, made by a back end with the app's key and verified by the server. Pure.

A signature is base64 of zlib of JSON, with `+/=` written as `*-_`. Its size is limited before inflation, the comparison
takes constant time, and no error text contains a signature (Tencent Chat, "UserSig").
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from .errors import AuthError, InvalidArgument, SignatureExpired
from .ids import UserId
from .util.arguments import Int64, Number, Text, Timestamp, checked

__all__ = ["VerifiedSig", "sign_user", "verify_user_sig"]

LIFE_S = 180 * 86400  # Tencent's default
TIME_LIMIT_S = 1 << 40  # 34,000 years; larger numbers cannot be converted to times
INPUT_LIMIT_BYTES = 8 * 1024
INFLATED_LIMIT_BYTES = 4 * 1024
_TO_URL = bytes.maketrans(b"+/=", b"*-_")
_FROM_URL = bytes.maketrans(b"*-_", b"+/=")


@dataclass(frozen=True, slots=True)
class VerifiedSig:
    """Content of a verified UserSig. Times are in seconds since 1970."""

    user_id: str
    issued_at: float
    expires_at: float
    userbuf: bytes | None


@checked(InvalidArgument)
def sign_user(
    app_id: Number,
    secret_key: Text,
    user_id: UserId,
    *,
    expire_s: Int64 = LIFE_S,
    userbuf: bytes | None = None,
    now: Timestamp | None = None,
) -> str:
    """Return a UserSig for `user_id`. Call this on a back end: the key must not be part of a client.

    Args:
        app_id: Number of the application (SDKAppID).
        secret_key: Key of the application, from Tencent's console or the settings of a timim server.
        user_id: The account that may log in with the signature.
        expire_s: Validity in seconds.
        userbuf: Bytes to include in the signature; the server does not interpret them.
        now: Begin of the validity in Unix seconds; None is the present time.

    Raises:
        InvalidArgument: The user id cannot exist, or the key is empty.
    """
    if not secret_key:
        raise InvalidArgument("secret_key must not be empty")
    issued = int(time.time() if now is None else now)
    encoded = base64.b64encode(userbuf).decode() if userbuf is not None else None
    fields: dict[str, str | int] = {
        "TLS.ver": "2.0",
        "TLS.identifier": user_id,
        "TLS.sdkappid": int(app_id),
        "TLS.expire": int(expire_s),
        "TLS.time": issued,
    }
    if encoded is not None:
        fields["TLS.userbuf"] = encoded
    fields["TLS.sig"] = _hmac(secret_key, user_id, int(app_id), issued, int(expire_s), encoded)
    packed = zlib.compress(json.dumps(fields).encode())
    return base64.b64encode(packed).translate(_TO_URL).decode()


def verify_user_sig(
    signature: str, *, app_id: int, user_id: str, secret_keys: Sequence[str], now: float, skew_s: float = 300.0
) -> VerifiedSig:
    """Verify a UserSig with any of `secret_keys` (several during the rotation of a key).

    Raises:
        SignatureExpired: The signature is past its validity (70001).
        AuthError: The signature is empty (70002), malformed, from the future or signed with another key (70003), another
            user's (70013) or another app's (70014).
    """
    if not signature:
        raise AuthError("the UserSig is empty", code=70002)
    fields = _fields(signature)
    named, app = fields.get("TLS.identifier"), fields.get("TLS.sdkappid")
    issued, life, claimed = fields.get("TLS.time"), fields.get("TLS.expire"), fields.get("TLS.sig")
    buffer = fields.get("TLS.userbuf")
    if not (isinstance(named, str) and isinstance(claimed, str) and (buffer is None or isinstance(buffer, str))):
        raise AuthError("the UserSig lacks TLS.identifier or TLS.sig, or a field is not a string", code=70003)
    if not (isinstance(app, int) and isinstance(issued, int) and isinstance(life, int)):
        raise AuthError("TLS.sdkappid, TLS.time and TLS.expire of the UserSig must be integers", code=70003)
    if not (0 <= issued <= TIME_LIMIT_S and 0 <= life <= TIME_LIMIT_S):
        raise AuthError(f"TLS.time and TLS.expire of the UserSig must be 0 to {TIME_LIMIT_S} seconds", code=70003)
    if fields.get("TLS.ver") != "2.0":
        raise AuthError("the UserSig is not of version 2", code=70003)
    if named != user_id:
        raise AuthError("the UserSig was signed for another user; sign one for the user who logs in", code=70013)
    if app != app_id:
        raise AuthError("the UserSig was signed for another app; use the app_id and the key of this server", code=70014)
    good = False
    for key in secret_keys:  # all keys, so that the time does not depend on the matching key
        good |= hmac.compare_digest(_hmac(key, named, app, issued, life, buffer).encode(), claimed.encode())
    if not good:
        raise AuthError("the UserSig is not signed with this app's key; use the server's secret_key", code=70003)
    if now > issued + life:
        raise SignatureExpired("the UserSig has expired")
    if issued > now + skew_s:
        raise AuthError("the UserSig was signed in the future; check the signer's clock", code=70003)
    return VerifiedSig(named, float(issued), float(issued + life), base64.b64decode(buffer) if buffer else None)


def _fields(signature: str) -> dict[str, object]:
    malformed = AuthError("the UserSig is malformed", code=70003)
    if len(signature) > INPUT_LIMIT_BYTES:
        raise malformed
    try:
        packed = base64.b64decode(signature.encode("ascii").translate(_FROM_URL), validate=True)
        inflate = zlib.decompressobj()
        text = inflate.decompress(packed, INFLATED_LIMIT_BYTES)
        if inflate.unconsumed_tail or not inflate.eof:
            raise malformed
        fields = json.loads(text)
    except (UnicodeError, binascii.Error, zlib.error, ValueError, RecursionError):
        raise malformed from None
    if not isinstance(fields, dict):
        raise malformed
    return fields


def _hmac(key: str, user_id: str, app_id: int, issued: int, life: int, userbuf: str | None) -> str:
    text = f"TLS.identifier:{user_id}\nTLS.sdkappid:{app_id}\nTLS.time:{issued}\nTLS.expire:{life}\n"
    if userbuf is not None:
        text += f"TLS.userbuf:{userbuf}\n"
    return base64.b64encode(hmac.digest(key.encode(), text.encode(), hashlib.sha256)).decode()

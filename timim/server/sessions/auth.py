"""Authentication. A login checks the user's signature and returns a token, which is valid until the signature expires.

Tokens are signed and not stored, so a client can use its token on any node, and after a restart of the server.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence

from ...errors import AuthError, SignatureExpired
from ...usersig import verify_user_sig


class Auth:
    """Verifier of user signatures, and issuer of session tokens.

    Args:
        app_id: SDKAppID that signatures must name.
        secret_keys: Keys that are accepted; the first one signs new tokens.
        admin: User id of the administrator.
        now: The server's clock, in seconds since 1970.
    """

    def __init__(self, app_id: int, secret_keys: Sequence[str], *, admin: str, now: Callable[[], float]) -> None:
        self.app_id = app_id
        self.admin = admin
        self._secret_keys = secret_keys
        self._now = now

    def login(self, user: str, signature: str) -> tuple[str, float]:
        """Return a new token for a user, and its expiry in seconds since 1970.

        Raises:
            AuthError: The signature is invalid (codes 700xx); the client must get another one.
            SignatureExpired: The signature has expired.
        """
        expires = self.check(user, signature)
        fields = f"{user.encode().hex()}.{int(expires)}.{secrets.token_hex(8)}"
        return f"{fields}.{_mac(self._secret_keys[0], fields)}", expires

    def resume(self, token: str) -> tuple[str, float]:
        """Return the user of a token, and the token's expiry in seconds since 1970.

        Raises:
            AuthError: The token is invalid (70003); the client must log in with a signature.
            SignatureExpired: The token has expired.
        """
        fields, _, mac = token.rpartition(".")
        good = False
        for key in self._secret_keys:  # all of them, so that the time does not reveal the matching key
            good |= hmac.compare_digest(_mac(key, fields).encode(), mac.encode())
        if not good or len(token) > 512:
            raise AuthError("A2Key is invalid; log in with a UserSig", code=70003)
        user, expires, _ = fields.split(".")
        if self._now() > int(expires):
            raise SignatureExpired("A2Key has expired; log in with a new UserSig")
        return bytes.fromhex(user).decode(), float(expires)

    def check(self, user: str, signature: str) -> float:
        """Check a signature, and return its expiry in seconds since 1970.

        Raises:
            AuthError: The signature is invalid (codes 700xx).
            SignatureExpired: The signature has expired.
        """
        verified = verify_user_sig(signature, app_id=self.app_id, user_id=user, secret_keys=self._secret_keys, now=self._now())
        return verified.expires_at

    def check_admin(self, user: str, signature: str) -> None:
        """Check the signature of an administrator.

        Raises:
            AuthError: The signature is invalid, or the user is no administrator (60010).
            SignatureExpired: The signature has expired.
        """
        self.check(user, signature)
        if user != self.admin:
            raise AuthError(f"{user!r} is not an administrator of this app; its administrator is {self.admin!r}", code=60010)

    def user_of(self, token: str) -> str | None:
        """Return the user of a token, or None if the token is invalid or has expired."""
        try:
            return self.resume(token)[0]
        except AuthError:
            return None


def _mac(key: str, fields: str) -> str:
    return hmac.digest(key.encode(), b"a2\0" + fields.encode(), hashlib.sha256).hex()

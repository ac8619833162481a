"""Who a caller is. A signature is checked at login; afterwards the token that login gave stands for it until it expires.

Tokens are signed, not kept: a client that comes back after a cut, or after a restart of the server, shows the one it has.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence

from ...errors import AuthError, SignatureExpired
from ...usersig import verify_user_sig


class Auth:
    """Signatures, and the tokens that stand for them."""

    def __init__(self, app_id: int, secret_keys: Sequence[str], *, admin: str, now: Callable[[], float]) -> None:
        self.app_id = app_id
        self.admin = admin
        self._secret_keys = secret_keys
        self._now = now

    def login(self, user: str, signature: str) -> tuple[str, float]:
        """Return a token for this user and when it ends. Raises AuthError with TIM's 700xx codes."""
        expires = self.check(user, signature)
        fields = f"{user.encode().hex()}.{int(expires)}.{secrets.token_hex(8)}"
        return f"{fields}.{_mac(self._secret_keys[0], fields)}", expires

    def resume(self, token: str) -> tuple[str, float]:
        """Return the user of a token, and when it ends. Raises AuthError 70003, SignatureExpired."""
        fields, _, mac = token.rpartition(".")
        good = False
        for key in self._secret_keys:  # all of them, so that the time taken tells nothing
            good |= hmac.compare_digest(_mac(key, fields).encode(), mac.encode())
        if not good or len(token) > 512:
            raise AuthError("the session's token is not good: log in with a UserSig", code=70003)
        user, expires, _ = fields.split(".")
        if self._now() > int(expires):
            raise SignatureExpired("the session's token has expired")
        return bytes.fromhex(user).decode(), float(expires)

    def check(self, user: str, signature: str) -> float:
        """When this signature ends. Raises AuthError."""
        verified = verify_user_sig(signature, app_id=self.app_id, user_id=user, secret_keys=self._secret_keys, now=self._now())
        return verified.expires_at

    def check_admin(self, user: str, signature: str) -> None:
        """Check that this is an administrator. Raises AuthError."""
        self.check(user, signature)
        if user != self.admin:
            raise AuthError(f"{user!r} is not an administrator of this app", code=60010)

    def user_of(self, token: str) -> str | None:
        """Whose token this is; None for a bad one."""
        try:
            return self.resume(token)[0]
        except AuthError:
            return None


def _mac(key: str, fields: str) -> str:
    return hmac.digest(key.encode(), b"a2\0" + fields.encode(), hashlib.sha256).hex()

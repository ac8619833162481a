"""Authentication. A login checks the user's signature and returns a token, which is valid until the signature expires.

Tokens are signed and not stored, so a client can use its token on any node, and after a restart of the server. The store has
the logins and tokens that ended before their signature.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...errors import AuthError, KickedOffline, SignatureExpired
from ...usersig import VerifiedSig, verify_user_sig
from ..store.revocations import LoginState, RevocationStore

REVOKED = 70052  # Tencent's code of a signature that is not valid any more


@dataclass(frozen=True, slots=True)
class Login:
    """A login with a signature, and the token that stands for it.

    Attributes:
        user: The user.
        token: The token.
        token_id: The part of the token that is unique.
        begun_ms: Begin of the login, in milliseconds since 1970.
        signed_at: Time of the signature, in seconds since 1970.
        expires_at: End of the signature, in seconds since 1970.
    """

    user: str
    token: str = ""
    token_id: str = ""
    begun_ms: int = 0
    signed_at: int = 0
    expires_at: int = 1 << 62

    def end(self, state: LoginState, now: float) -> AuthError | None:
        """Return the reason for which an administrator or a revocation has ended this login; None if it goes on."""
        if 0 < state.signed_until >= self.signed_at:
            # a signer whose clock shows the second of the revocation makes the same signature again
            wait_s = state.signed_until + 1 - now
            return SignatureExpired(
                f"the signatures of {self.user!r} until now were revoked; log in with a new UserSig",
                code=REVOKED,
                retry_after=wait_s if 0 < wait_s <= 1 else None,
            )
        if 0 < state.logins_until_ms >= self.begun_ms:
            return KickedOffline("an administrator ended this login; log in again")
        return None


def sign_login(key: str, user: str, *, begun_ms: int, signed_at: int, expires_at: int) -> Login:
    """Return a login with a new token, signed with a key of the app."""
    token_id = f"{begun_ms:x}-{signed_at:x}-{secrets.token_hex(8)}"
    fields = f"{user.encode().hex()}.{expires_at}.{token_id}"
    return Login(user, f"{fields}.{_mac(key, fields)}", token_id, begun_ms, signed_at, expires_at)


class Auth:
    """Verifier of user signatures, and issuer of session tokens.

    Args:
        app_id: SDKAppID that signatures must name.
        secret_keys: Keys that are accepted; the first one signs new tokens.
        revocations: The logins that have ended.
        now: The server's clock, in seconds since 1970.
    """

    def __init__(
        self, app_id: int, secret_keys: Sequence[str], revocations: RevocationStore, *, now: Callable[[], float]
    ) -> None:
        self.app_id = app_id
        self._secret_keys = secret_keys
        self._revocations = revocations
        self._now = now

    async def login(self, user: str, signature: str) -> Login:
        """Return a new login.

        Raises:
            AuthError: The signature is invalid (codes 700xx); the client must get another one.
            SignatureExpired: The signature has expired (70001) or was revoked (70052).
            StorageError: The store did not respond.
        """
        verified = self.check(user, signature)
        state = await self._revocations.state(user)
        begun_ms = max(int(self._now() * 1000), state.logins_until_ms + 1, state.tokens_until_ms + 1)
        times = int(verified.issued_at), int(verified.expires_at)
        login = sign_login(self._secret_keys[0], user, begun_ms=begun_ms, signed_at=times[0], expires_at=times[1])
        if (error := login.end(state, self._now())) is not None:
            raise error
        return login

    async def resume(self, token: str) -> Login:
        """Return the login of a token.

        Raises:
            AuthError: The token is invalid, or its login was logged out (70003); the client must log in with a signature.
            SignatureExpired: The signature of the login has expired (70001) or was revoked (70052).
            KickedOffline: An administrator ended the login.
            StorageError: The store did not respond.
        """
        login = self._parse(token)
        if self._now() > login.expires_at:
            raise SignatureExpired("A2Key has expired; log in with a new UserSig")
        state = await self._revocations.state(login.user, login.token_id)
        if (error := login.end(state, self._now())) is not None:
            raise error
        if state.token_ended or 0 < state.tokens_until_ms >= login.begun_ms:
            raise AuthError("A2Key has ended by a logout; log in with a UserSig", code=70003)
        return login

    async def end_token(self, login: Login) -> None:
        """End the token of a login, on all nodes.

        Raises:
            StorageError: The store did not respond; the token is still valid.
        """
        await self._revocations.end_token(
            login.user, login.token_id, begun_ms=login.begun_ms, expires=login.expires_at, now=int(self._now())
        )

    def check(self, user: str, signature: str) -> VerifiedSig:
        """Check a signature, and return its content.

        Raises:
            AuthError: The signature is invalid (codes 700xx).
            SignatureExpired: The signature has expired.
        """
        return verify_user_sig(signature, app_id=self.app_id, user_id=user, secret_keys=self._secret_keys, now=self._now())

    async def user_of(self, token: str) -> str | None:
        """Return the user of a token, or None if the token is invalid or has ended.

        Raises:
            StorageError: The store did not respond.
        """
        try:
            return (await self.resume(token)).user
        except AuthError:
            return None

    def _parse(self, token: str) -> Login:
        fields, _, mac = token.rpartition(".")
        good = False
        for key in self._secret_keys:  # all of them, so that the time does not reveal the matching key
            good |= hmac.compare_digest(_mac(key, fields).encode(), mac.encode())
        if not good or len(token) > 512:
            raise AuthError("A2Key is invalid; log in with a UserSig", code=70003)
        user, expires, token_id = fields.split(".")
        begun, signed, *_ = token_id.split("-") if "-" in token_id else ("0", "0")  # a token of an earlier version has no times
        return Login(bytes.fromhex(user).decode(), token, token_id, int(begun, 16), int(signed, 16), int(expires))


def _mac(key: str, fields: str) -> str:
    return hmac.digest(key.encode(), b"a2\0" + fields.encode(), hashlib.sha256).hex()

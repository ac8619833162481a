"""Who a caller is. A login's signature is checked once; afterwards the session's token stands for it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

from ..errors import AuthError
from ..usersig import verify_user_sig


class Auth:
    """Signatures and the tokens of sessions."""

    def __init__(self, app_id: int, secret_keys: Sequence[str], *, admin: str, now: Callable[[], float]) -> None:
        self.app_id = app_id
        self.admin = admin
        self._secret_keys = secret_keys
        self._now = now
        self._tokens: dict[str, str] = {}

    def login(self, user: str, signature: str) -> tuple[str, float]:
        """A token for the session and when the signature ends. Raises AuthError with TIM's 700xx codes."""
        verified = self.check(user, signature)
        token = secrets.token_urlsafe(24)
        self._tokens[token] = user
        return token, verified

    def check(self, user: str, signature: str) -> float:
        """When this signature ends. Raises AuthError."""
        verified = verify_user_sig(signature, app_id=self.app_id, user_id=user, secret_keys=self._secret_keys, now=self._now())
        return verified.expires_at

    def check_admin(self, user: str, signature: str) -> None:
        """Raises AuthError when this is no administrator."""
        self.check(user, signature)
        if user != self.admin:
            raise AuthError(f"{user!r} is not an administrator of this app", code=60010)

    def forget(self, token: str) -> None:
        self._tokens.pop(token, None)

    def user_of(self, token: str) -> str | None:
        """Whose session this token is."""
        return self._tokens.get(token)

"""A server that ends no login: neither with its signature, nor by a logout, an administrator or another device."""

from __future__ import annotations

from timim.cli import main
from timim.server.sessions.auth import Auth, Login
from timim.server.sessions.session import Session
from timim.server.store.revocations import LoginState


async def end_no_token(self: Auth, login: Login) -> None:
    """Keep the token."""


def has_not_ended(self: Login, state: LoginState, now: float) -> None:
    """Accept the login."""


def goes_on(self: Session, *args: object, **options: object) -> None:
    """Keep the session."""


def does_not_expire(self: Session) -> bool:
    return False


Auth.end_token, Login.end, Session.kick, Session.expire = end_no_token, has_not_ended, goes_on, does_not_expire  # type: ignore[method-assign]

if __name__ == "__main__":
    main()

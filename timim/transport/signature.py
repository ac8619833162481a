"""The UserSig of a login: a string, or a function that returns one."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable

from ..errors import ConnectionFailed, InvalidArgument, SignatureExpired, TimimError
from ..util.arguments import Text

__all__ = ["SignatureSource", "UserSig", "checked_signature", "current_signature"]

UserSig = Text | Callable[[], str | Awaitable[str]]


def checked_signature(user_sig: UserSig) -> UserSig:
    """Return the argument. Raises InvalidArgument unless it is a string of ASCII, or a function."""
    given: object = user_sig
    if callable(given) or (isinstance(given, str) and given.isascii() and given.isprintable()):
        return user_sig
    raise InvalidArgument(f"user_sig: must be a printable ASCII string or a function, not {type(user_sig).__name__}")


class SignatureSource:
    """The signatures of the logins of one client: the last one, and whether another one can be made."""

    def __init__(self, user_sig: UserSig) -> None:
        self._user_sig = user_sig
        self._last = self._refused = ""

    @property
    def fixed(self) -> bool:
        """True if there is one signature only."""
        return isinstance(self._user_sig, str)

    async def next(self, *, timeout_s: float) -> str:
        """Return the signature for one login; see `current_signature` for the errors."""
        self._last = await current_signature(self._user_sig, timeout_s=timeout_s)
        return self._last

    def can_renew(self, error: TimimError) -> bool:
        """Return True if the server refused an expired or revoked signature, and the function may return a newer one.

        The function has a second chance to return another signature. With a `retry_after` in the error it has as many as it
        needs, because the server says that a signature made later will do.
        """
        if self.fixed or not isinstance(error, SignatureExpired):
            return False
        renewable = error.retry_after is not None or self._last != self._refused
        self._refused = self._last
        return renewable


async def current_signature(user_sig: UserSig, *, timeout_s: float) -> str:
    """Return the signature for one login; a function is called, and awaited if it is asynchronous.

    Raises:
        ConnectionFailed: The function failed, took over `timeout_s` seconds, or returned no signature; a later attempt can
            succeed.
        TimimError: The function raised this error.
    """
    if isinstance(user_sig, str):
        return user_sig
    try:
        made = user_sig()
        async with asyncio.timeout(timeout_s):
            signature = await made if inspect.isawaitable(made) else made
        checked_signature(signature)
    except TimimError:
        raise
    except TimeoutError as exc:
        raise ConnectionFailed(f"user_sig() did not return within {timeout_s:g} s") from exc
    except Exception as exc:
        raise ConnectionFailed(f"user_sig() failed: {exc!r}") from exc
    if not isinstance(signature, str):
        raise ConnectionFailed(f"user_sig() must return a string, not {type(signature).__name__}")
    return signature

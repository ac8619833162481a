"""The caller of the request that a task executes, which callbacks name."""

from __future__ import annotations

from contextvars import ContextVar

import msgspec

__all__ = ["NOBODY", "Caller", "begin_request", "current_caller", "current_command", "state_platform"]

PLATFORMS = {"web": "Web"}  # Tencent's names; a timim client does not tell its operating system


class Caller(msgspec.Struct, frozen=True, gc=False):
    """The account and the client that caused a change.

    Attributes:
        user: The user, or the administrator of a REST request.
        admin: The request came over REST.
        client_ip: Address of the client.
        platform: Its platform, as Tencent Chat names it.
    """

    user: str = ""
    admin: bool = False
    client_ip: str = ""
    platform: str = "Unknown"

    @classmethod
    def of_session(cls, user: str, client_ip: str, platform: str) -> Caller:
        """Return the caller behind a session, with Tencent's name of its platform."""
        return cls(user, False, client_ip, state_platform(platform))

    @classmethod
    def over_rest(cls, admin: str, client_ip: str) -> Caller:
        """Return the caller of a REST request."""
        return cls(admin, True, client_ip, "RESTAPI")


NOBODY = Caller()
_CURRENT: ContextVar[tuple[Caller, str]] = ContextVar("timim caller", default=(NOBODY, ""))


def begin_request(caller: Caller, command: str) -> None:
    """Note the caller and the command of the request that this task begins to execute."""
    _CURRENT.set((caller, command))


def current_caller() -> Caller:
    """Return the caller of this task's request."""
    return _CURRENT.get()[0]


def current_command() -> str:
    """Return the command of this task's request, such as `friend_add`."""
    return _CURRENT.get()[1].rpartition(".")[2]


def state_platform(platform: str) -> str:
    """Return Tencent's name of the platform of a session."""
    return PLATFORMS.get(platform, "Unknown")
